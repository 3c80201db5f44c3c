"""What a person does about a reason: the second line under what a receiver answered."""

from loadbell.domain.deliveries import Reason

ADVICE: dict[Reason, str] = {
    Reason.OK: "Nothing. The receiver took it.",
    Reason.TIMEOUT: "See whether the receiver is up and answers within the time that loadbell waits. A receiver should "
    "answer first and work afterwards.",
    Reason.CONNECT: "See whether the receiver is up, and whether host and port in the URL are right.",
    Reason.DNS: "Look for a slip in the host name of the URL. If it is right, ask whoever runs the name server.",
    Reason.TLS: "Look at the receiver's certificate: its date, its name, its issuer. The operator of this server can "
    "trust a private issuer by LOADBELL_CA_FILE.",
    Reason.PROTOCOL: "What answers there does not speak HTTP, or was cut off. Look at the port in the URL, and at what "
    "stands between.",
    Reason.HTTP_3XX: "Enter the address that it leads to: redirects are not followed.",
    Reason.HTTP_4XX: "The server is up but refuses. Copy the whole URL again from the receiving side.",
    Reason.HTTP_5XX: "The receiver has a fault of its own. Look into its log.",
    Reason.RATE_LIMITED: "The receiver wants fewer messages. loadbell waits as long as it asks; narrow what the "
    "channel rings for if this goes on.",
    Reason.GONE: "The receiver wants no more messages at this address. Make a new one there and enter its URL.",
    Reason.REJECTED: "The receiver answered, but did not take the message. Copy the whole URL again from the receiving "
    "side.",
    Reason.BLOCKED_ADDRESS: "loadbell does not connect to private or local addresses. If this one is meant, ask the "
    "operator of this server to allow it by LOADBELL_ALLOWED_NETWORKS.",
    Reason.BAD_SETTINGS: "Open the channel, correct its settings and save them.",
    Reason.BAD_PAYLOAD: "This is a fault of loadbell. Please report it with what stands below.",
    Reason.EXPIRED: "It was held for too long to be of use. Redeliver it if you want it still.",
    Reason.INTERNAL: "loadbell was stopped or failed in the middle. If it happens again, look into the server's log.",
}
"""By reason, in a sentence or two."""
