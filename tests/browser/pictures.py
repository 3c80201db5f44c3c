"""Which pages are looked at, as whom. Each page that the router has must be among them; a test says which is not."""

import re
from dataclasses import dataclass

from loadbell import web
from tests.browser.sample import ADMIN, MEMBER, OWNER, Sample


@dataclass(frozen=True)
class Picture:
    """One page; ``address`` names places of the sample. ``press``: what is pressed there before one looks."""

    name: str
    address: str
    who: str | None = OWNER  #: None: a visitor
    press: str = ""
    status: int = 200

    def path(self, sample: Sample) -> str:
        """Its address on this server."""
        return self.address.format(**sample.places)


_OURS = "/organizations/{organization}"

PICTURES = (
    Picture("login", "/login", who=None),
    Picture("forgot-password", "/forgot-password", who=None),
    Picture("reset-password", "/reset-password/{reset}", who=None),
    Picture("reset-password-used", "/reset-password/lbr_not-a-link-any-more", who=None, status=404),
    Picture("invitation", "/invitations/{invitation}", who=None),
    Picture("not-found", "/nothing-here", who=None, status=404),
    Picture("home", "/"),
    Picture("account", "/account"),
    Picture("account-member", "/account", who=MEMBER),
    Picture("organizations", "/organizations"),
    Picture("organizations-member", "/organizations", who=MEMBER),
    Picture("organization-settings", _OURS + "/settings"),
    Picture("organization-settings-member", _OURS + "/settings", who=MEMBER),
    Picture("members", _OURS + "/members"),
    Picture("members-admin", _OURS + "/members", who=ADMIN),
    Picture("member", _OURS + "/members/{member}"),
    Picture("projects", _OURS + "/projects"),
    Picture("projects-member", _OURS + "/projects", who=MEMBER, status=403),
    Picture("project", _OURS + "/projects/{project}"),
    Picture("tokens", _OURS + "/tokens"),
    Picture("audit", _OURS + "/audit"),
    Picture("notifications", _OURS + "/notifications"),
    Picture("notifications-member", _OURS + "/notifications", who=MEMBER),
    Picture("notifications-empty", "/organizations/{empty_organization}/notifications"),
    Picture("channel-slack", "/channels/{slack}"),
    Picture("channel-hipchat", "/channels/{hipchat}"),
    Picture("channel-webhook", "/channels/{webhook}"),
    Picture("channel-retrying", "/channels/{retrying}"),
    Picture("channel-paused", "/channels/{paused}"),
    Picture("deliveries", _OURS + "/deliveries"),
    Picture("deliveries-failed", _OURS + "/deliveries?status=failed"),
    Picture("deliveries-empty", "/organizations/{empty_organization}/deliveries"),
    Picture("delivery-delivered", "/deliveries/{delivered_delivery}"),
    Picture("delivery-retrying", "/deliveries/{retrying_delivery}"),
    Picture("delivery-failed", "/deliveries/{failed_delivery}"),
    Picture("delivery-slack", "/deliveries/{slack_delivery}"),
    Picture("delivery-member", "/deliveries/{delivered_delivery}", who=MEMBER),
    Picture("runs", "/runs?organization_id={organization}"),
    Picture("runs-failed", "/runs?organization_id={organization}&result=failed"),
    Picture("runs-wrong-filter", "/runs?organization_id={organization}&status=99", status=422),
    Picture("runs-member", "/runs", who=MEMBER),
    Picture("run-running", "/runs/{running_run}"),
    Picture("run-abort", "/runs/{running_run}", press="Abort"),
    Picture("run-passed", "/runs/{passed_run}"),
    Picture("run-failed", "/runs/{failed_run}"),
    Picture("run-k6", "/runs/{k6_run}"),
    Picture("run-k6-better", "/runs/{k6_run_before}"),
    Picture("run-aborted", "/runs/{aborted_run}", who=MEMBER),
    Picture("runs-empty", "/runs?organization_id={empty_organization}"),
    Picture("welcome", "/welcome?organization_id={empty_organization}"),
    Picture("welcome-token", "/welcome?organization_id={empty_organization}", press="Create token"),
    Picture("k6", "/k6"),
    Picture("welcome-arrived", "/welcome?organization_id={organization}"),
    Picture("welcome-member", "/welcome?organization_id={organization}", who=MEMBER),
)

FIRST_START = (Picture("first-visit", "/", who=None), Picture("setup", "/setup", who=None))
"""Of a server that nobody has set up."""

NO_PICTURE = {
    r"/live$": "streams of events, no pages",
    r"/export$": "a file, no page",
}
"""What the router has that is no page, and why."""


def routes() -> set[str]:
    """The address patterns of all pages, as ``/runs/{run_id}``."""
    items = {
        re.sub(r":\w+(?=\})", "", path)
        for noun in web._NOUNS
        for handler in noun.HANDLERS
        if "GET" in handler.http_methods
        for path in handler.paths
    }
    return {path for path in items if not any(re.search(left_out, path) for left_out in NO_PICTURE)}


def there(pictures: tuple[Picture, ...]) -> list[Picture]:
    """Those whose page the router has."""
    patterns = routes()
    return [picture for picture in pictures if page_of(picture, patterns)]


def page_of(picture: Picture, patterns: set[str]) -> str | None:
    """The pattern that serves the picture's address; one without parameters comes first, as in the router."""
    path = picture.address.partition("?")[0]
    fitting = [text for text in patterns if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", text), path)]
    return min(fitting, key=lambda pattern: pattern.count("{"), default=None)
