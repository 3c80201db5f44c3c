"""The values of settings as text: what no value may be, paths, the file, and names that are nearly right."""

from pathlib import Path

import certifi
import pytest

from loadbell.domain.ids import SECOND
from loadbell.setting_texts import BadSetting, find_misspelled
from loadbell.settings import DEFAULTS, load_settings

MINUTE = 60 * SECOND
SENTINEL = "s3ntinel"


def _file(folder: Path, text: str) -> dict[str, str]:
    path = folder / "bell.conf"
    path.write_text(text, encoding="utf-8")
    return {"LOADBELL_CONFIG_FILE": str(path)}


@pytest.mark.parametrize("folder", ["data", "./data", "$HOME/data", "${HOME}/data", "%h/data", "~nobody-at-all/data"])
def test_a_data_folder_that_is_not_absolute_is_refused(folder: str) -> None:
    """Else a second, empty database would lie below whichever folder the process was started in."""
    with pytest.raises(BadSetting, match=r"^LOADBELL_DATA_DIR: .*[Ww]rite the f.*path"):
        load_settings({"LOADBELL_DATA_DIR": folder})


@pytest.mark.parametrize(("text", "path"), [("~", ""), ("~/", ""), ("~/lb", "lb"), ("~/a b/~", "a b/~")])
def test_the_tilde_is_the_home_folder(text: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the data folder as in a shell."""
    monkeypatch.setenv("HOME", "/home/kim")

    assert Path("/home/kim", path) == load_settings({"LOADBELL_DATA_DIR": text}).data_dir


def test_the_tilde_is_the_home_folder_of_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the settings file's own name, and in those that stand in it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "ca.pem").write_bytes(Path(certifi.where()).read_bytes())
    _file(tmp_path, "LOADBELL_CA_FILE=~/ca.pem\n")

    assert tmp_path / "ca.pem" == load_settings({"LOADBELL_CONFIG_FILE": "~/bell.conf"}).ca_file


def test_a_home_folder_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """``~`` may not end below the working folder; PostgreSQL needs no folder at all."""
    monkeypatch.setenv("HOME", "home")
    with pytest.raises(BadSetting, match=r"^LOADBELL_DATA_DIR: .*Write the f.*path"):
        load_settings({"LOADBELL_DATA_DIR": "~/lb"})

    load_settings({"LOADBELL_DATABASE_URL": "postgresql://u@h/d", "LOADBELL_DATA_DIR": "lb"})


@pytest.mark.parametrize("name", [*DEFAULTS, "LOADBELL_CONFIG_FILE"])
@pytest.mark.parametrize("value", [f'"{SENTINEL}"', f"'{SENTINEL}'", f'{SENTINEL}"', "''", f"\u201c{SENTINEL}\u201d"])
def test_quotes_around_a_value_are_refused(name: str, value: str, tmp_path: Path) -> None:
    """Of each setting, from the environment and from the file: they would become part of it."""
    items = [{name: value}]
    if name in DEFAULTS:
        items.append(_file(tmp_path, f"{name}={value}\n"))
    for environment in items:
        with pytest.raises(BadSetting, match=rf"^{name}: .*Remove the quotes") as refused:
            load_settings(environment)
        assert SENTINEL not in str(refused.value)


def test_quotes_within_a_value_are_its_own() -> None:
    """A name of a sender may be written in quotes, as in a mail."""
    mail = load_settings(
        {"LOADBELL_SMTP_URL": "smtp://mail", "LOADBELL_SMTP_FROM": '"Load # 1" <bell@example.org>'}
    ).mail

    assert mail is not None
    assert "Load # 1" == mail.sender_name
    assert Path("/srv/kim's") == load_settings({"LOADBELL_DATA_DIR": "/srv/kim's"}).data_dir


@pytest.mark.parametrize("name", [*DEFAULTS, "LOADBELL_CONFIG_FILE"])
@pytest.mark.parametrize("odd", ["\n", "\r", "\t", "\0", "\x1b", "\x85", "\u2028", "\udcff"])
def test_a_control_character_in_a_value_is_refused(name: str, odd: str) -> None:
    """As is what is not UTF-8; at its ends white space is dropped."""
    with pytest.raises(BadSetting, match=rf"^{name}: .*control character") as refused:
        load_settings({name: f"/{SENTINEL}{odd}x"})

    assert SENTINEL not in str(refused.value)


@pytest.mark.parametrize("name", [name for name in DEFAULTS if name != "LOADBELL_SMTP_FROM"])
def test_a_comment_behind_a_value_is_refused(name: str, tmp_path: Path) -> None:
    """It would become part of the value, and a folder would be called so."""
    with pytest.raises(BadSetting, match=rf"^{name}: .*comments on their own lines"):
        load_settings(_file(tmp_path, f"{name}=/srv/lb  # ours\n"))


@pytest.mark.parametrize(
    "text", ["\ufeffLOADBELL_WATCHDOG=5m\r\n", "# é\r\nLOADBELL_WATCHDOG=5m", "LOADBELL_WATCHDOG=5m\r\n\r\n"]
)
def test_a_file_from_another_system_is_read(text: str, tmp_path: Path) -> None:
    """With a byte order mark, with line ends of Windows, without a last one."""
    assert 5 * MINUTE == load_settings(_file(tmp_path, text)).watchdog


def test_a_line_for_a_shell_is_refused(tmp_path: Path) -> None:
    """The file is none, so what a shell would do with the rest of the line must not be expected."""
    with pytest.raises(BadSetting, match=r"line 1 of .* begins with export. Remove it"):
        load_settings(_file(tmp_path, f"export LOADBELL_SECRET_KEY={SENTINEL}\n"))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LOADBELL_DATADIR", "LOADBELL_DATA_DIR"),
        ("LOADBELL_DATABASE", "LOADBELL_DATABASE_URL"),
        ("LOADBELL_SECRET", "LOADBELL_SECRET_KEY"),
        ("LOADBELL_ALLOWED_NETWORK", "LOADBELL_ALLOWED_NETWORKS"),
        ("loadbell_base_url", "LOADBELL_BASE_URL"),
        ("LOADBEL_TOKEN", "LOADBELL_TOKEN"),
        ("LOADBELL_CONFIGFILE", "LOADBELL_CONFIG_FILE"),
    ],
)
def test_a_name_that_looks_misspelt_is_told(name: str, meant: str) -> None:
    """With the name that was probably meant, and without the value."""
    (text,) = find_misspelled({name: SENTINEL}, DEFAULTS)

    assert f"{name} is not a setting and is ignored. Did you mean {meant}?" == text


def test_names_that_are_right_or_of_others_are_not_told() -> None:
    """Every setting, what commands read, and whatever else an environment holds."""
    names = [*DEFAULTS, "LOADBELL_URL", "LOADBELL_TOKEN", "LOADBELL_CONFIG_FILE", "LOADBELL_TEST_POSTGRES_URL"]

    assert [] == find_misspelled(
        dict.fromkeys([*names, "LOADBELL_PORT", "DATA_DIR", "LOAD_URL", "PATH", ""], "x"), DEFAULTS
    )
