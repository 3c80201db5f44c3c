"""What the three front ends share: who sends a request, caps, errors as answers, paging."""
