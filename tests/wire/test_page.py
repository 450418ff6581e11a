"""docs/wire.md is the authority: it names every channel, key word and code that the code knows, and no other code."""

import json
import re
from pathlib import Path

import pytest

from contract.wire import messages, topics

PAGE = (Path(__file__).parents[2] / "docs" / "wire.md").read_text()


def table_words(heading: str) -> set[str]:
    """The words in the first column of the table below a line that begins with `heading`."""
    rows = PAGE[PAGE.index(heading) :].split("\n\n")[0 if heading.startswith("|") else 1].splitlines()
    return {match[1] for row in rows if (match := re.match(r"\| `(\w+)` ", row))}


def test_every_channel_stands_in_the_table_of_channels_and_no_other() -> None:
    assert table_words("| channel | from") == set(topics.UPWARD + topics.DOWNWARD)


def test_directions_in_the_table_are_those_of_the_code() -> None:
    for channel in topics.UPWARD:
        assert re.search(rf"\| `{channel}` \| device → platform \|", PAGE), channel
    for channel in topics.DOWNWARD:
        assert re.search(rf"\| `{channel}` \| platform → device \|", PAGE), channel


def test_every_code_stands_in_the_table_of_codes_and_no_other() -> None:
    assert table_words("| code | when") == set(messages.FAULT_CODES)


def test_every_result_and_refusal_of_a_lease_stands_in_its_table_and_no_other() -> None:
    assert table_words("| result | when") == set(messages.LEASE_RESULTS)
    assert table_words("| code of a refusal") == set(messages.LEASE_CODES)


@pytest.mark.parametrize("word", messages.CLOCKS + messages.CONTROLLERS + messages.CALL_STATUSES + messages.LOG_LEVELS)
def test_every_word_of_the_wire_stands_in_the_page(word: str) -> None:
    assert f"`{word}`" in PAGE


def test_limits_in_the_page_are_those_of_the_code() -> None:
    assert f"at most 8 KiB ({messages.PAYLOAD_BYTES_MAX} bytes)" in PAGE
    assert f"as many as fit, at most {messages.READINGS_MAX}" in PAGE
    assert f"in `also`: at most {messages.ALSO_MAX}" in PAGE
    assert f"At most {messages.TARGETS_MAX} targets with names of 1 to {messages.NAME_LENGTH_MAX} characters" in PAGE
    assert f"`reason`, at most {messages.REASON_LENGTH_MAX} characters" in PAGE
    assert f"`id` has 1 to {messages.ID_LENGTH_MAX} characters, `do` 1 to {messages.NAME_LENGTH_MAX}" in PAGE
    assert f"have 1 to {messages.TEXT_LENGTH_MAX} characters" in PAGE
    assert f"more than {messages.AGE_MS_MAX // 86_400_000} days" in PAGE
    assert f"more than {messages.AHEAD_MS_MAX // 60_000} minutes" in PAGE
    assert messages.INTEGER_MAX == 2**53 - 1
    assert "2^53 − 1" in PAGE
    assert messages.SEQ_MAX == 2**32 - 1
    assert "from 1 to 2^32 − 1" in PAGE
    assert f"from 1 to {messages.PERIOD_S_MAX} ({messages.PERIOD_S_MAX // 86_400} days)" in PAGE
    assert f"at most {messages.SLEEP_MS_MAX // 86_400_000} days ahead" in PAGE


def test_examples_in_the_page_are_valid_and_the_parsers_read_the_downward_ones() -> None:
    examples = [
        json.loads(line) for block in re.findall(r"```json\n(.*?)```", PAGE, re.S) for line in block.splitlines()
    ]
    assert len(examples) == 12
    read = 0
    for example in examples:
        for parse in (messages.parse_kept, messages.parse_lease, messages.parse_call, messages.parse_now):
            try:
                parse(json.dumps(example).encode())
                read += 1
            except messages.WireFault:
                continue
    assert read == 5  # two kept, lease, call, now


def test_the_page_says_how_a_deferral_ends_and_what_order_a_will_has() -> None:
    flat = " ".join(PAGE.split())
    assert "A `kept` without `deferred` ends a deferral at once" in flat
    assert "at the same (`boot`, `n`) the will comes after the birth" in flat
    assert "## Sequence" in PAGE
