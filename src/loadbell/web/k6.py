"""How k6 reports here: from a terminal, in CI, in Docker and on Kubernetes, and what happens if loadbell is down."""

import shlex
from collections.abc import Sequence
from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency

from loadbell.client import k6
from loadbell.web.page import PageRequest

_RUN = "k6 run --out cloud script.js"


@get("/k6")
async def show_k6(page: NamedDependency[PageRequest]) -> Response[str]:
    """The ways to set k6 up, with this server's address."""
    await page.require_account()
    return await page.show(
        "k6", snippets=_snippets(page.context.installation.base_url), base_url=page.context.installation.base_url
    )


def _snippets(url: str) -> dict[str, str]:
    return {
        "shell": f"{k6.exports(url)}\n{_RUN}",
        "config": k6.config(url),
        "with-config": f"k6 run --config loadbell.json --out cloud {_RUN.rsplit(' ', 1)[1]}",
        "github": (
            f"- run: {_RUN}\n  env:\n    K6_CLOUD_HOST: {url}\n    K6_CLOUD_HOST_V6: {url}\n"
            "    K6_CLOUD_TOKEN: ${{ secrets.LOADBELL_TOKEN }}"
        ),
        "gitlab": (
            "load-test:\n  image:\n    name: grafana/k6\n    entrypoint: ['']\n  variables:\n"
            f"    K6_CLOUD_HOST: {url}\n    K6_CLOUD_HOST_V6: {url}\n"
            "    # K6_CLOUD_TOKEN: a masked variable of the project\n"
            f"  script:\n    - {_RUN}"
        ),
        "jenkins": (
            "withCredentials([string(credentialsId: 'loadbell', variable: 'K6_CLOUD_TOKEN')]) {\n"
            f"    sh 'K6_CLOUD_HOST={url} K6_CLOUD_HOST_V6={url} {_RUN}'\n}}"
        ),
        "docker": (
            f"docker run --rm -i -e K6_CLOUD_HOST={shlex.quote(url)} -e K6_CLOUD_HOST_V6={shlex.quote(url)} \\\n"
            "  -e K6_CLOUD_TOKEN \\\n"
            '  -v "$PWD:/scripts" grafana/k6 run --out cloud /scripts/script.js'
        ),
        "operator": (
            "spec:\n  runner:\n    env:\n      - name: K6_OUT\n        value: cloud\n"
            f"      - name: K6_CLOUD_HOST\n        value: {url}\n"
            f"      - name: K6_CLOUD_HOST_V6\n        value: {url}\n"
            "      - name: K6_CLOUD_TOKEN\n        valueFrom:\n          secretKeyRef: {name: loadbell, key: token}"
        ),
    }


HANDLERS: Sequence[Any] = [show_k6]
