"""``loadbell serve`` with a mail server: mail that was promised is sent, whatever is killed in between."""

import socket
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from tests.support.mail import misbehaving, postbox
from tests.support.server import Client, Server, set_up


def test_a_server_killed_while_it_mails_leaves_the_mail_to_the_next(tmp_path: Path) -> None:
    """It had claimed the mail and said part of it; what starts after it sends the mail, with the link of the answer."""
    talking = threading.Event()

    def hang(connection: socket.socket) -> None:
        connection.sendall(b"220 ready\r\n")
        connection.recv(1000)
        talking.set()
        connection.recv(1)

    body = set_up(tmp_path)
    with misbehaving(hang) as dead, Server(tmp_path, _mail(dead.port)) as server:
        invited = Client(server.url, body["token"]).ok(
            "POST",
            f"/organizations/{body['organization_id']}/invitations",
            {"email": "bob@example.net", "role": "member"},
        )
        assert talking.wait(30)
        server.kill()
    with closing(sqlite3.connect(tmp_path / "loadbell.sqlite3")) as database, database:
        (claimed,) = database.execute("SELECT attempts FROM mails").fetchone()
        database.execute("UPDATE mails SET next_attempt_at = 0")  # a claim lasts a minute: let that have passed
    assert 1 == claimed
    with postbox() as box, Server(tmp_path, _mail(box.settings.port)) as server:
        taken = box.arrived.get(timeout=60)
        assert 0 == server.stop()
        log = server.log.read_text()

    assert invited["mailed"]
    assert ["bob@example.net"] == taken.recipients
    assert f"\n{invited['url']}\n" in taken.text.replace("\r\n", "\n")
    assert invited["token"] not in log


def _mail(port: int) -> dict[str, str]:
    return {
        "LOADBELL_SMTP_URL": f"smtp://127.0.0.1:{port}?starttls=never",
        "LOADBELL_SMTP_FROM": "Loadbell <bell@example.org>",
    }
