from __future__ import annotations

import errno
import subprocess

import pytest

from gproxy.net.netlink import Changes, Netlink
from gproxy.wire import netlink as wire
from tests.support.netns import own_network

__all__ = ["own_network"]

pytestmark = pytest.mark.usefixtures("own_network")


def test_the_kernel_tells_all_there_are() -> None:
    routes = Netlink(wire.ROUTE)
    links = [wire.read_link(body) for _, body in routes.ask(wire.GET_LINK, wire.DUMP, wire.all_links())]
    assert (1, "lo") in links
    routes.close()


def test_after_a_refusal_the_next_question_is_answered() -> None:
    generic = Netlink(wire.GENERIC)
    with pytest.raises(OSError) as caught:
        generic.ask(wire.CONTROL, wire.REQUEST, wire.find_family("no such family"))
    assert caught.value.errno == errno.ENOENT
    answer = generic.ask(wire.CONTROL, wire.REQUEST, wire.find_family("nlctrl"))
    assert [wire.read_family(body) for _, body in answer] == [wire.CONTROL]
    generic.close()
    generic.close()


def test_an_answer_of_another_question_is_not_taken() -> None:
    """Two dumps, the first of which is left half read."""
    routes = Netlink(wire.ROUTE)
    sock = routes._opened()
    sock.send(wire.message(wire.GET_LINK, wire.DUMP, wire.all_links(), 77))
    sock.recv(65536)
    answer = routes.ask(wire.GET_ADDRESS, wire.DUMP, wire.all_addresses())
    assert {kind for kind, _ in answer} == {wire.NEW_ADDRESS}
    routes.close()


def test_changes_are_told_once() -> None:
    changes = Changes(0x1)
    assert changes.happened()  # nobody knows what was before
    assert not changes.happened()
    done = subprocess.run(["ip", "link", "set", "lo", "mtu", "65000"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("no right to change a link")
    assert changes.happened()
    assert not changes.happened()
    changes.close()


def test_more_changes_than_a_socket_holds_are_one() -> None:
    changes = Changes(0x1)
    changes.happened()
    assert changes._sock is not None
    changes._sock.close()  # whatever the error, it is opened again
    assert changes.happened()
    assert changes.happened()
    assert not changes.happened()
    changes.close()
