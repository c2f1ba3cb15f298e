"""The page behind the cluster's gateway, and the operators' console by a forwarded port, in a browser."""

from __future__ import annotations

import httpx2
import pytest
from playwright.sync_api import expect

from console_service.overview import FIGURES
from tests.support.browser import CHROMIUM, WAITED_MS, chromium, watched
from tests.support.k8s_cluster import NAMESPACE
from tests.support.k8s_gateway import CONTROLLER, service_of_the_gateway
from tests.support.page_actions import Api, item, level, publish
from tests.support.port_forward import forwarded
from tests.support.whole_on_a_cluster import Installed

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None, reason="apt-get install chromium-headless-shell"),
]


def test_a_readers_feed_is_live_through_the_gateway(fanfold: Installed) -> None:
    gateway = service_of_the_gateway(fanfold.cluster)
    with (
        forwarded(CONTROLLER, f"service/{gateway}", 80, to=18080) as url,
        chromium() as browser,
        browser.new_context(base_url=url) as context,
    ):
        api = Api(url)
        api.registered(ada="Ada", ben="Ben")
        api.follows("ben", "ada")
        context.set_default_timeout(WAITED_MS)
        seen = watched(context)
        page = context.new_page()
        page.goto("/#/feed/ada/ben")
        ada, ben = level(page, "ada"), level(page, "ben")
        publish(ada, "Good morning from a cluster!")
        expect(item(ben, "Good morning from a cluster!")).to_have_count(1)
        assert seen.hosts() == {"127.0.0.1:18080"}
        assert seen.complaints == []


def test_what_operators_see_is_behind_a_forwarded_port_and_not_behind_the_gateway(
    fanfold: Installed,
) -> None:
    with httpx2.Client(base_url=f"http://{fanfold.address}", timeout=30) as client:
        for path in ("/ops/overview", "/ops/dead-letters"):
            refused = client.get(path)
            assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (
                404,
                "no-such-route",
            )
        # Another site's page that a browser was led to: the console answers to loopback's names alone.
        assert client.get("/", headers={"Host": "rebound.example"}).status_code == 421

    console = (NAMESPACE, "deployment/console-service", 8080)
    with (
        forwarded(*console, to=18081) as url,
        chromium() as browser,
        browser.new_context(base_url=url) as context,
    ):
        context.set_default_timeout(WAITED_MS)
        seen = watched(context)
        page = context.new_page()
        page.goto("/#/console/")
        expect(page.locator("[data-figure]")).to_have_count(len(FIGURES))
        expect(page.get_by_text("Healthy")).to_be_visible()
        page.goto("/#/console/dead-letters")
        expect(page.get_by_role("heading", name="Dead letters")).to_be_visible()
        assert seen.complaints == []
