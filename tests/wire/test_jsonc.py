from __future__ import annotations

import json

from gproxy.wire.jsonc import blank_comments, plain_json


def test_blanking_keeps_every_offset():
    text = '{ /* x\n y */ "a": 1 } // z'
    blank = blank_comments(text)
    assert len(blank) == len(text)
    assert blank.index('"a"') == text.index('"a"')
    assert blank.count("\n") == text.count("\n")


def test_commas_at_the_end_of_lists_and_tables_go_and_those_in_text_stay():
    text = '{"a": [1, ",]", /* , */ ], // ,}\n }'
    assert json.loads(plain_json(text)) == {"a": [1, ",]"]}
    assert len(plain_json(text)) == len(text)
