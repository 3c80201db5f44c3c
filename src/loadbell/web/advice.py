"""What to do about the reason of an attempt."""

from loadbell.domain.deliveries import Reason

ADVICE: dict[Reason, str] = {
    Reason.OK: "Nothing. The receiver accepted it.",
    Reason.TIMEOUT: "Check that the receiver is up and responds in time. It should respond with 2xx first, then "
    "process the request.",
    Reason.CONNECT: "Check that the receiver is up, and that host and port in the URL are correct.",
    Reason.DNS: "Check the host name for typos. If it's correct, ask your DNS administrator.",
    Reason.TLS: "Check the receiver's certificate: dates, name and issuer. To trust a private issuer, this "
    "server's operator can set LOADBELL_CA_FILE.",
    Reason.PROTOCOL: "The response isn't valid HTTP or was cut off. Check the port and any proxy in between.",
    Reason.HTTP_3XX: "loadbell doesn't follow redirects. Enter the final URL.",
    Reason.HTTP_4XX: "The receiver rejected the request. Check the channel's URL and credentials.",
    Reason.HTTP_5XX: "The receiver failed. Check its logs.",
    Reason.RATE_LIMITED: "loadbell waits as requested. If this continues, reduce the events for this channel.",
    Reason.GONE: "This webhook no longer exists. Create a new one and paste its URL into the channel.",
    Reason.REJECTED: "The receiver responded but didn't accept the message. Copy the full URL from the receiving "
    "service again.",
    Reason.BLOCKED_ADDRESS: "loadbell doesn't connect to private or local addresses. To allow this one, this server's "
    "operator can set LOADBELL_ALLOWED_NETWORKS.",
    Reason.BAD_SETTINGS: "Open the channel, correct its settings and save.",
    Reason.BAD_PAYLOAD: "This is a bug in loadbell. Please report it with the details below.",
    Reason.EXPIRED: "It waited too long and expired. If you still need it, redeliver it.",
    Reason.INTERNAL: "loadbell was stopped or failed during the attempt. If it happens again, check the server's log.",
}
