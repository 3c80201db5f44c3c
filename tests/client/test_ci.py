import pytest

from loadbell.client.ci import Origin, detect_origin

GITHUB = {
    "CI": "true",
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.example",
    "GITHUB_REPOSITORY": "team/shop",
    "GITHUB_RUN_ID": "42",
    "GITHUB_SHA": "0123456789abcdef",
    "GITHUB_REF_NAME": "main",
    "GITHUB_ACTOR": "ann",
    "GITHUB_EVENT_NAME": "push",
}
GITLAB = {
    "CI": "true",
    "GITLAB_CI": "true",
    "CI_JOB_URL": "https://gitlab.example/team/shop/-/jobs/9",
    "CI_PIPELINE_URL": "https://gitlab.example/team/shop/-/pipelines/3",
    "CI_PROJECT_URL": "https://gitlab.example/team/shop",
    "CI_COMMIT_SHA": "0123456789abcdef",
    "CI_COMMIT_REF_NAME": "main",
    "GITLAB_USER_LOGIN": "ann",
    "CI_PIPELINE_SOURCE": "push",
}
JENKINS = {
    "JENKINS_URL": "https://ci.example/",
    "BUILD_URL": "https://ci.example/job/load/5/",
    "JOB_NAME": "load",
    "BUILD_NUMBER": "5",
}


def test_github() -> None:
    """A run in GitHub Actions links to the workflow run, by branch and author, and to the commit."""
    assert Origin(
        "ci",
        (
            {
                "title": "GitHub Actions run on main by ann",
                "url": "https://github.example/team/shop/actions/runs/42",
            },
            {"title": "Commit 01234567", "url": "https://github.example/team/shop/commit/0123456789abcdef"},
        ),
    ) == detect_origin(GITHUB, at_terminal=False)


def test_gitlab() -> None:
    """A run in GitLab CI links to its job, its pipeline and the commit."""
    assert Origin(
        "ci",
        (
            {"title": "GitLab job on main by ann", "url": "https://gitlab.example/team/shop/-/jobs/9"},
            {"title": "GitLab pipeline", "url": "https://gitlab.example/team/shop/-/pipelines/3"},
            {"title": "Commit 01234567", "url": "https://gitlab.example/team/shop/-/commit/0123456789abcdef"},
        ),
    ) == detect_origin(GITLAB, at_terminal=False)


def test_jenkins() -> None:
    """A run in Jenkins links to its build."""
    assert Origin("ci", ({"title": "Jenkins build load 5", "url": "https://ci.example/job/load/5/"},)) == detect_origin(
        JENKINS, at_terminal=False
    )


@pytest.mark.parametrize(
    "environment", [GITHUB | {"GITHUB_EVENT_NAME": "schedule"}, GITLAB | {"CI_PIPELINE_SOURCE": "schedule"}]
)
def test_a_scheduled_pipeline(environment: dict[str, str]) -> None:
    """A pipeline that the clock started makes a scheduled run."""
    assert "scheduled" == detect_origin(environment, at_terminal=False).trigger


@pytest.mark.parametrize(
    ("environment", "at_terminal", "expected"),
    [
        ({"CI": "true"}, False, "ci"),
        ({"CI": "1"}, True, "ci"),
        ({"CI": "false"}, False, "unknown"),
        ({}, True, "manual"),
        ({}, False, "unknown"),
    ],
)
def test_elsewhere(environment: dict[str, str], at_terminal: bool, expected: str) -> None:
    """Any other CI is known by CI alone; without one, a terminal tells of a person, and nothing tells of nobody."""
    assert Origin(expected) == detect_origin(environment, at_terminal=at_terminal)


def test_links_that_are_missing_or_secret() -> None:
    """A link that can't be built, is no web address, or holds a password or a query is left out."""
    assert Origin("ci") == detect_origin({"GITHUB_ACTIONS": "true", "GITHUB_SHA": "01"}, at_terminal=False)
    for url in (
        "https://user:secret@ci.example/5/",
        "javascript:alert(1)",
        "https://[bad",
        "https://ci.example/5/?token=s3cret",
        "https://u%3As3cret%40ci.example/",
    ):
        assert Origin("ci") == detect_origin(JENKINS | {"BUILD_URL": url}, at_terminal=False)
