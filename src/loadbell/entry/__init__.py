"""What the three doors share: the principal of a request, caps, errors as answers, paging."""
