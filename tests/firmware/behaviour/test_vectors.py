"""The agent hears every downward golden vector: what is invalid is counted and changes nothing."""

import binascii
import json

from tests.firmware.behaviour.driven import HOUR, NOON, Driven, only

VECTORS = __file__.rsplit("/", 3)[0] + "/vectors/"


def test_what_breaks_the_wire_is_counted_and_obeyed_by_nobody() -> None:
    for channel in ("kept", "lease", "call", "now"):
        with open(VECTORS + channel + ".json") as file:
            cases = json.load(file)
        assert cases
        for case in cases:
            payload = binascii.a2b_base64(case["payload_base64"]) if "payload_base64" in case else case["payload"]
            if channel == "lease" and not payload:
                continue  # it clears the broker's retained lease: see test_leases
            valid = case["valid"]
            if channel == "kept" and valid:
                valid = case["parsed"]["upto"] <= 1  # this node gives out one seq: what names more is out of range
            node = Driven("street_light")
            node.lease("level", 0.3, HOUR)
            node.measure(power_w=1.0)
            said = node.tell(channel, payload if isinstance(payload, bytes) else payload.encode())
            assert node.agent.bad_messages == (0 if valid else 1), (channel, case["name"])
            if not valid:
                assert (node.agent.output("level"), node.agent.outbox_count) == (0.3, 1), (channel, case["name"])
                assert node.agent.unix_ms(node.up) == NOON, (channel, case["name"])
                code = case.get("code", "out_of_range")
                answers = [(document.get("result"), document.get("code")) for document in only(said, "reported")]
                remarks = [document["event"] for document in only(said, "log")]
                assert (answers, remarks) in (
                    ([("refused", code)], []),
                    ([], ["bad_" + channel + "_" + code]),
                ), (channel, case["name"])
