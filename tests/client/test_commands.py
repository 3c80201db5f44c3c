import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadbell.client.commands import read_command
from loadbell.client.exit_codes import Execution, read_result
from loadbell.client.locust_options import LocustOptions


def tool_of(command: str) -> str:
    """The tool that ``command``, in shell syntax, comes down to."""
    return read_command(shlex.split(command), {}).tool


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("k6 run x.js", "k6"),
        ("/opt/bin/k6 run x.js", "k6"),
        (r"'C:\k6\k6.exe' run x.js", "k6"),
        ("gatling.sh", "gatling"),
        ("python -m locust -f x.py", "locust"),
        ("/usr/bin/python3.11 -u -X dev -m locust", "locust"),
        ("python /opt/bin/locust -f x.py", "locust"),
        ("python load.py", "python"),
        ("python3 load.py -m", "python3"),
        ("npx artillery run x.yml", "artillery"),
        ("npx --yes artillery@2.0.21 run x.yml", "artillery"),
        ("npx -p artillery -p x artillery run x.yml", "artillery"),
        ("npx --whatever artillery run x.yml", "artillery"),
        ("npm exec -- artillery run x.yml", "artillery"),
        ("pnpm dlx artillery run x.yml", "artillery"),
        ("yarn dlx artillery run x.yml", "artillery"),
        ("bunx artillery run x.yml", "artillery"),
        ("node node_modules/.bin/artillery run x.yml", "artillery"),
        ("uvx locust", "locust"),
        ("uvx --from locust@2.40 --with x locust", "locust"),
        ("uv run locust", "locust"),
        ("uv run --with locust-plugins locust -f x.py", "locust"),
        ("uv --directory perf run --frozen -m locust", "locust"),
        ("uv tool run locust", "locust"),
        ("pipx run --spec locust==2.40 locust", "locust"),
        ("poetry -C perf run locust", "locust"),
        ("pdm run locust", "locust"),
        ("rye run locust", "locust"),
        ("hatch -e perf run locust", "locust"),
        ("hatch run perf:locust", "locust"),
        ("conda run -n perf --no-capture-output locust", "locust"),
        ("nice k6 run x.js", "k6"),
        ("nice -n 10 k6 run x.js", "k6"),
        ("nice -10 k6 run x.js", "k6"),
        ("ionice -c 2 -n0 k6 run x.js", "k6"),
        ("chrt -f 50 wrk", "wrk"),
        ("taskset -c 0-3 wrk", "wrk"),
        ("timeout -k 5 60 k6 run x.js", "k6"),
        ("timeout --signal=INT 10m k6 run x.js", "k6"),
        ("env -u HOME LANG=C k6 run x.js", "k6"),
        ("env -S 'k6 run x.js'", "k6"),
        ("time -p k6 run x.js", "k6"),
        ("/usr/bin/time -f %e -o out k6 run x.js", "k6"),
        ("stdbuf -oL -e 0 k6 run x.js", "k6"),
        ("nohup k6 run x.js", "k6"),
        ("setsid -w k6 run x.js", "k6"),
        ("sudo -u perf -E k6 run x.js", "k6"),
        ("sudo -Eu perf LANG=C k6 run x.js", "k6"),
        ("doas -u perf k6 run x.js", "k6"),
        ("xvfb-run -a -s '-screen 0 1x1x8' k6 run x.js", "k6"),
        ("systemd-run --scope -p CPUQuota=50% k6 run x.js", "k6"),
        ("exec k6 run x.js", "k6"),
        ("command k6 run x.js", "k6"),
        ("sudo nice -n5 timeout 60 env A=b k6 run x.js", "k6"),
        ("docker run --rm -i grafana/k6 run -", "k6"),
        ("docker run --rm -v a:b -e K=V --network host grafana/k6:1.2.0 run x.js", "k6"),
        ("docker --context x run -it locustio/locust -f x.py", "locust"),
        ("docker run registry.example:5000/team/locust@sha256:0a", "locust"),
        ("docker run --entrypoint locust team/image -f x.py", "locust"),
        ("docker run python:3 locust -f x.py", "locust"),
        ("podman run artilleryio/artillery run x.yml", "artillery"),
        ("docker compose -f x.yml run --rm k6 run x.js", "k6"),
        ("docker exec -it box k6 run x.js", "k6"),
        ("docker run blazemeter/taurus x.yml", "bzt"),
        ("docker run redis", "docker"),
        ("docker build .", "docker"),
        ("kubectl exec pod -- k6 run x.js", "k6"),
        ("go run go.k6.io/k6@latest run x.js", "k6"),
        ("mvn -B gatling:test", "gatling"),
        ("./mvnw io.gatling:gatling-maven-plugin:4.9.0:test", "gatling"),
        ("mvn test -pl gatling-tests", "mvn"),
        ("./gradlew :perf:gatlingRun-Checkout", "gatling"),
        ("gradle gatlingRun", "gatling"),
        ("sbt Gatling/test", "gatling"),
        ("java -cp x:y io.gatling.app.Gatling -s Basic", "gatling"),
        ("java -Xmx1g -jar bin/ApacheJMeter.jar -n -t x.jmx", "jmeter"),
        ("sh -c 'k6 run x.js'", "k6"),
        ("bash -euo pipefail -c 'exec k6 run x.js'", "k6"),
        ("sh -c 'API_KEY=s3cret wrk -d1s'", "wrk"),
        ("sh -c 'vegeta attack | vegeta report'", "sh"),
        ("sh -c 'exit 1'", "sh"),
        ("sh load.sh", "sh"),
        ("bash gatling.sh", "gatling"),
        ("sh -c 'cd perf && exec k6 run x.js'", "k6"),
        ("bash -lc 'set -e; export A=b; ulimit -n 9999; . venv/bin/activate; locust -f x.py'", "locust"),
        ("sh -c 'cd perf && k6 run x.js | tee out'", "sh"),
        ("sh -c 'make && k6 run x.js'", "sh"),
        ("env - PATH=/bin k6 run x.js", "k6"),
        ("su perf -c 'A=b k6 run x.js'", "k6"),
        ("script -qec 'k6 run x.js' /dev/null", "k6"),
        ("runuser -u perf -- k6 run x.js", "k6"),
        ("flock -n /tmp/lock -c 'k6 run x.js'", "k6"),
        ("gosu perf k6 run x.js", "k6"),
        ("setpriv --reuid=1 k6 run x.js", "k6"),
        ("unshare -n k6 run x.js", "k6"),
        ("ip netns exec lab k6 run x.js", "k6"),
        ("nsenter -t 1 -n k6 run x.js", "k6"),
        ("tini -s -- k6 run x.js", "k6"),
        ("dumb-init k6 run x.js", "k6"),
        ("chronic k6 run x.js", "k6"),
        ("strace -f -o out k6 run x.js", "k6"),
        ("perf stat -e cycles k6 run x.js", "k6"),
        ("proxychains4 -q k6 run x.js", "k6"),
        ("faketime '2 days ago' k6 run x.js", "k6"),
        ("cpulimit -l 50 -- k6 run x.js", "k6"),
        ("direnv exec . k6 run x.js", "k6"),
        ("dotenv -e .env -- k6 run x.js", "k6"),
        ("pyenv exec locust", "locust"),
        ("yarn artillery run x.yml", "artillery"),
        ("pnpm -s artillery run x.yml", "artillery"),
        ("yarn load", "yarn"),
        ("kubectl run k6 --image=grafana/k6 -- run /x.js", "k6"),
        ("kubectl run load --image=busybox -- run /x.js", "kubectl"),
        ("go tool vegeta attack", "vegeta"),
        ("npx", "npx"),
        ("npx --whatever s3cret load", "npx"),
        ("npm run load", "npm"),
        ("uv sync", "uv"),
        ("uv run load.py", "python"),
    ],
)
def test_tool(command: str, expected: str) -> None:
    """A tool is known by its own name, behind whatever runs it and however many of them there are."""
    assert expected == tool_of(command)


@pytest.mark.parametrize(
    "command",
    [
        ["API_KEY=s3cret wrk -d1s"],
        ["npx", "--registry", "https://u:s3cret@host", "artillery"],
        ["npx", "--other", "https://u:s3cret@host/", "load"],
        ["npx", "--token", "s3cret", "load"],
        ["env", "API_KEY=s3cret", "wrk"],
        ["sh", "-c", "API_KEY=s3cret; wrk"],
        ["curl", "http://u:s3cret@host/s3cret.js"],
        ["https://u:s3cret@host/k6"],
        ["u:s3cret@host"],
        ["s3cret@host"],
        ["k6 run s3cret"],
        ["docker", "run", "-e", "KEY=s3cret", "--password", "s3cret", "host/u:s3cret@x", "run"],
        ["docker", "run", "grafana/k6", "run", "-e", "KEY=/s3cret.js", "--token", "s3cret.json"],
        ["sudo", "-p", "s3cret", "wrk"],
    ],
)
def test_a_name_lets_no_secret_out(command: list[str]) -> None:
    """Whatever stands on a command line, quoted as it may be, its name is a program's and a script's."""
    assert "s3cret" not in read_command(command, {}).name


RUNNERS = [
    "npx",
    "uvx",
    "docker run",
    "env",
    "sudo",
    "timeout 5",
    "uv run",
    "sh -c",
    "nice",
    "xvfb-run",
    "kubectl exec p --",
]
SECRETS = [
    "--token={}",
    "--unknown {}",
    "-x {}",
    "-e KEY={}",
    "KEY={}",
    "https://u:{}@host/x",
    "u:{}@host",
    "-H 'Authorization: {}'",
    "'a {} b'",
]


@given(
    runners=st.lists(st.sampled_from(RUNNERS), max_size=3),
    words=st.lists(st.sampled_from([*SECRETS, "--unknown", "-x", "run", "k6", "load.js", "--"]), max_size=6),
    secret=st.text("abcdef0123456789", min_size=12, max_size=20),
)
def test_no_secret_in_any_name(runners: list[str], words: list[str], secret: str) -> None:
    """No value of an assignment, an option, a header or an address gets into a name, behind any runner."""
    line = " ".join([*runners, *(word.format(secret) for word in words)])
    command = shlex.split(line)
    if command:
        assert secret not in read_command(command, {}).name
        assert secret not in read_command([line], {}).name


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("k6 run load/script.js", "k6 script.js"),
        ("nice -n 5 k6 run load/script.js", "k6 script.js"),
        ("k6 run -e KEY=load/script.js missing.js", "k6"),
        ("locust --locustfile=load/script.js", "locust script.js"),
        ("locust -f load/script.js,other.py", "locust script.js"),
        ("locust --headless", "locust"),
        ("hey -H Authorization:s3cret http://user:s3cret@host/", "hey"),
        ("vegeta attack", "vegeta"),
        ("k6 run load", "k6"),
        ("k6 run 'my script.js'", "k6"),
        ("k6 run " + "x" * 5000 + ".js", "k6"),
        ("docker run -v x:/s grafana/k6 run /s/checkout.js", "k6 checkout.js"),
        ("docker run locustio/locust -f /mnt/checkout.py --headless", "locust checkout.py"),
    ],
)
def test_name(command: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is named for its tool and its script, and nothing else of the command line is let out."""
    (tmp_path / "load").mkdir()
    (tmp_path / "load" / "script.js").touch()
    (tmp_path / "my script.js").touch()
    monkeypatch.chdir(tmp_path)

    assert expected == read_command(shlex.split(command), {}).name


def test_name_of_a_default_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locust called without a script runs the one in its folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "locustfile.py").touch()

    assert "locust locustfile.py" == read_command(["locust", "--headless"], {}).name


@pytest.mark.parametrize(
    "command",
    [
        "docker run -v x:/s locustio/locust -f /s/x.py",
        "kubectl exec pod -- locust -f x.py",
        "env -C perf locust -f x.py",
        "sudo --chdir=perf locust -f x.py",
        "uv --directory perf run locust -f x.py",
        "timeout 60 poetry -C perf run locust -f x.py",
        "sh -c 'cd perf && locust -f x.py'",
    ],
)
def test_files_that_are_elsewhere(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container or another folder the tool has other files than we see: none is missed, and none is read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "locust.conf").write_text("exit-code-on-error = 0\nworker = true", encoding="utf-8")
    read = read_command(shlex.split(command), {})
    options = LocustOptions(read)

    assert ("locust", True) == (read.tool, read.elsewhere)
    assert (False, False, "1") == (options.missing_file, options.is_worker, options.exit_code_on_error)
    assert (8, "failed") == (read_result(1, Execution(read, 0)).status, read_result(1, Execution(read, 0)).result)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("env A=1 B=2 locust", {"A": "1", "B": "2", "HOST": "h"}),
        ("sudo A=1 locust", {"A": "1", "HOST": "h"}),
        ("sh -c 'A=1 locust'", {"A": "1", "HOST": "h"}),
        ("docker run -e A=1 --env B=2 -e HOST locustio/locust", {"A": "1", "B": "2", "HOST": "h"}),
        ("docker run locustio/locust", {}),
    ],
)
def test_variables(command: str, expected: dict[str, str]) -> None:
    """What is set for the tool on the command line counts as its environment; a container gets nothing else."""
    assert expected == read_command(shlex.split(command), {"HOST": "h"}).environment
