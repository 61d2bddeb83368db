"""The routes of characters, over HTTP."""

from __future__ import annotations

import base64
import io
import json
import zipfile

import httpx2
import pytest

from chatbot_ai.cards import read_card
from support import card_samples as samples

MINA = {"user_id": "mina"}
BODY = {"name": "하늘", "greeting": "왔구나, {{user}}!", "context": "밝은 친구."}


def made(client: httpx2.Client, **fields: object) -> dict[str, object]:
    answer = client.post("/characters", params=MINA, json=BODY | fields)
    assert answer.status_code == 201
    return dict(answer.json())


def test_a_character_is_made_read_changed_listed_and_deleted(client: httpx2.Client) -> None:
    """Each route answers with the character as it is then."""
    made_ = made(client, alternate_greetings=["또 왔네?"])
    path = f"/characters/{made_['id']}"
    assert client.get(path, params=MINA).json() == made_
    changed = client.patch(path, params=MINA, json={"name": "바다"}).json()
    assert (changed["name"], changed["greeting"]) == ("바다", BODY["greeting"])
    assert changed["alternate_greetings"] == ["또 왔네?"]
    listed = client.get("/characters", params=MINA).json()["characters"]
    assert made_["id"] in [line["id"] for line in listed]
    assert client.delete(path, params=MINA).status_code == 204
    assert client.get(path, params=MINA).status_code == 404


def test_another_user_sees_nothing(client: httpx2.Client) -> None:
    """Every route of another user's character is 404, exactly as for one that never was."""
    path = f"/characters/{made(client)['id']}"
    never = "/characters/" + "0" * 32
    other = {"user_id": "other"}
    for method, tail, body in (
        ("GET", "", None),
        ("PATCH", "", {"name": "x"}),
        ("DELETE", "", None),
        ("GET", "/picture", None),
        ("GET", "/prompt", None),
        ("GET", "/export", None),
    ):
        answers = [
            client.request(method, at + tail, params=other, json=body) for at in (path, never)
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        errors = [answer.json()["error"] for answer in answers]
        assert errors[0]["code"] == errors[1]["code"] == "not_found"
        assert errors[0]["message"] == errors[1]["message"]


def test_without_a_user_the_routes_ask_for_one(client: httpx2.Client) -> None:
    """No user_id is 422 and names the field."""
    answer = client.get("/characters")
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"][0]["field"] == "user_id"


@pytest.mark.parametrize("form", ["body", "multipart"])
@pytest.mark.parametrize("kind", ["png", "json", "charx"])
def test_cards_are_imported_in_every_format(client: httpx2.Client, kind: str, form: str) -> None:
    """A V1, V2 or V3 file gives its name and, where it has one, its picture."""
    card = samples.v1()
    data = {
        "png": samples.png(samples.text_chunk("chara", card)),
        "json": json.dumps(card).encode(),
        "charx": samples.charx(samples.risuai_v3(), samples.risuai_files()),
    }[kind]
    sent = {"content": data} if form == "body" else {"files": {"file": (f"card.{kind}", data)}}
    answer = client.post("/characters/import", params=MINA, **sent)
    assert answer.status_code == 201
    view = answer.json()
    assert view["name"]
    assert view["has_picture"] is (kind != "json")
    if kind == "png":
        picture = client.get(f"/characters/{view['id']}/picture", params=MINA)
        assert picture.headers["content-type"] == "image/png"
        assert b"chara" not in picture.content


def test_a_json_card_goes_out_byte_for_byte_as_it_came(client: httpx2.Client) -> None:
    """Unknown fields, their order and the spacing survive import and export."""
    text = '{"spec":"chara_card_v3", "spec_version":"3.0","data":{"name":"하늘",'
    text += '"first_mes":"안녕","group_only_greetings":[],"zz":{"b":[1.50,null]},"extensions":{}}}'
    id_ = client.post("/characters/import", params=MINA, content=text.encode()).json()["id"]
    out = client.get(f"/characters/{id_}/export", params=MINA | {"format": "json"})
    assert out.content.decode() == text


@pytest.mark.parametrize("format", ["png", "charx", "json"])
def test_unknown_fields_survive_an_edit_and_an_export(client: httpx2.Client, format: str) -> None:
    """What this program does not know of a card is still there after a change of its name."""
    card = samples.sillytavern_v2()
    card["data"]["extensions"]["other/tool"] = {"kept": [1, 2]}
    body = json.dumps(card).encode()
    id_ = client.post("/characters/import", params=MINA, content=body).json()["id"]
    client.patch(f"/characters/{id_}", params=MINA, json={"name": "새 이름"})
    out = client.get(f"/characters/{id_}/export", params=MINA | {"format": format})
    assert out.status_code == 200
    back = read_card(out.content).card
    assert back.name == "새 이름"
    assert back.extensions["other/tool"] == {"kept": [1, 2]}


def test_a_card_whose_picture_is_no_png_is_exported_with_one_that_is_sent(
    client: httpx2.Client,
) -> None:
    """GET refuses, POST with a PNG answers with the card in that PNG."""
    picture = base64.b64encode(samples.jpeg()).decode()
    id_ = made(client, picture=picture)["id"]
    refused = client.get(f"/characters/{id_}/export", params=MINA)
    assert (refused.status_code, refused.json()["error"]["reason"]) == (422, "picture_not_png")
    out = client.post(f"/characters/{id_}/export", params=MINA, content=samples.png())
    assert read_card(out.content).card.name == "하늘"


def test_a_picture_is_set_and_removed(client: httpx2.Client) -> None:
    """A picture that is sent is served with its type; an empty one removes it."""
    id_ = made(client, picture=base64.b64encode(samples.webp()).decode())["id"]
    path = f"/characters/{id_}/picture"
    shown = client.get(path, params=MINA)
    assert shown.headers["content-type"] == "image/webp"
    assert "sandbox" in shown.headers["content-security-policy"]
    tag = {"If-None-Match": shown.headers["etag"]}
    assert client.get(path, params=MINA, headers=tag).status_code == 304
    client.patch(f"/characters/{id_}", params=MINA, json={"picture": ""})
    assert client.get(path, params=MINA).status_code == 404


def test_a_prompt_is_made_of_the_chosen_greeting(client: httpx2.Client) -> None:
    """Macros are resolved with the given name; a greeting that was taken out of the card since
    the conversation began is the first one instead."""
    id_ = made(client, alternate_greetings=["또 왔네, {{user}}?"])["id"]
    path = f"/characters/{id_}/prompt"
    prompt = client.get(path, params=MINA | {"greeting": "1", "user_name": "민아"}).json()
    assert prompt == {
        "character_name": "하늘",
        "greeting": "또 왔네, 민아?",
        "context": "밝은 친구.",
        "greetings": 2,
    }
    gone = client.get(path, params=MINA | {"greeting": "2"})
    assert gone.status_code == 200
    assert gone.json() == client.get(path, params=MINA | {"greeting": "0"}).json()


def _zip_bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("card.json", json.dumps(samples.risuai_v3()))
        archive.writestr("assets/big.bin", bytes(200 << 20))
    return buffer.getvalue()


HOSTILE = {
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", "picture_svg"),
    "empty": (b"", "file_empty"),
    "truncated": (samples.png(samples.text_chunk("chara", samples.v1()))[:60], "card_missing"),
    "cut at once": (samples.png()[:20], "png_damaged"),
    "no card": (samples.png(), "card_missing"),
    "path": (samples.charx(samples.risuai_v3(), {"../../etc/x": b"1"}), "path_unsafe"),
    "random": (b"\x00\x01nothing", "format_unknown"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_with_a_sentence_in_both_languages(
    client: httpx2.Client, name: str
) -> None:
    """422 with a reason for programs and a different sentence for each language."""
    data, reason = HOSTILE[name]
    answers = [
        client.post(
            "/characters/import", params=MINA, content=data, headers={"Accept-Language": language}
        )
        for language in ("ko", "en")
    ]
    errors = [answer.json()["error"] for answer in answers]
    assert [answer.status_code for answer in answers] == [422, 422]
    assert [error["reason"] for error in errors] == [reason, reason]
    assert errors[0]["message"] != errors[1]["message"]


def test_a_zip_bomb_is_refused(client: httpx2.Client) -> None:
    """A small file that grows large is 422 before it has grown."""
    answer = client.post("/characters/import", params=MINA, content=_zip_bomb())
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_card")


def test_only_these_routes_take_large_bodies(client: httpx2.Client) -> None:
    """2 MiB reach the card reader, 9 MiB and 2 MiB elsewhere are 413."""
    large = client.post("/characters/import", params=MINA, content=bytes(2 << 20))
    assert large.status_code == 422
    for path, size in (("/characters/import", 9 << 20), ("/Llama", 2 << 20)):
        refused = client.post(path, params=MINA, content=bytes(size))
        assert (refused.status_code, refused.json()["error"]["code"]) == (413, "payload_too_large")
