"""The load test of ``loadbell demo``: visitors who read one page of a shop on this machine."""

from locust import HttpUser, between, task


class Visitor(HttpUser):
    """Reads the page a few times a second."""

    wait_time = between(0.1, 0.4)

    @task
    def read_page(self) -> None:
        """One request."""
        self.client.get("/", name="shop")
