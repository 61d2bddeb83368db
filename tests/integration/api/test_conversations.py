"""The conversation routes: list, read, name, delete, select, branch, export."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest

from chatbot_ai.llm.llama import LlamaModel
from support.api_lab import Lab
from support.faulty_server import DONE, delta, faulty_server, finish, sse

A = {"user_id": "a"}


async def test_list_is_newest_first_and_paged(lab: Lab) -> None:
    """Pages follow each other by `next_before` and hold every conversation once."""
    for name in ("d1", "d2", "d3"):
        await lab.say(f"안녕 {name}", db_id=name)
    await lab.say("다시", db_id="d1")
    first = (await lab.http.get("/conversations", params={**A, "limit": 2})).json()
    assert [c["db_id"] for c in first["conversations"]] == ["d1", "d3"]
    assert first["conversations"][0]["turns"] == 2
    assert first["conversations"][0]["preview"] == "안녕 d1"
    rest = await lab.http.get(
        "/conversations", params={**A, "limit": 2, "before": first["next_before"]}
    )
    assert [c["db_id"] for c in rest.json()["conversations"]] == ["d2"]
    assert rest.json()["next_before"] is None


async def test_conversations_of_the_same_time_are_on_one_page(lab: Lab) -> None:
    """A branch has its original's time; no page boundary falls between them."""
    await lab.say("처음", db_id="d1")
    await lab.say("나중", db_id="d2")
    for _ in range(2):
        made = await lab.http.post("/conversations/d2/branch", params=A, json={"turn": 0})
        assert made.status_code == 200
    page = (await lab.http.get("/conversations", params={**A, "limit": 1})).json()
    assert len(page["conversations"]) == 3
    rest = await lab.http.get("/conversations", params={**A, "before": page["next_before"]})
    assert [c["db_id"] for c in rest.json()["conversations"]] == ["d1"]


async def test_search_looks_at_titles_and_first_inputs(lab: Lab) -> None:
    """`q` finds text in any case in title or preview, and a full page names where to go on."""
    await lab.say("Budget 회의", db_id="d1")
    await lab.say("점심 메뉴", db_id="d2")
    await lab.say("budget 2", db_id="d3")
    await lab.http.patch("/conversations/d2", params=A, json={"title": "BUDGET 점심"})
    found = (await lab.http.get("/conversations", params={**A, "q": "bUdget"})).json()
    assert [c["db_id"] for c in found["conversations"]] == ["d3", "d2", "d1"]
    one = (await lab.http.get("/conversations", params={**A, "q": "budget", "limit": 1})).json()
    assert [c["db_id"] for c in one["conversations"]] == ["d3"]
    params = {**A, "q": "budget", "limit": 1, "before": one["next_before"]}
    two = (await lab.http.get("/conversations", params=params)).json()
    assert [c["db_id"] for c in two["conversations"]] == ["d2"]
    none = (await lab.http.get("/conversations", params={**A, "q": "없는 말"})).json()
    assert none == {"conversations": [], "next_before": None}


async def test_conversations_are_found_by_the_beginning_of_their_name(lab: Lab) -> None:
    """`db_id_prefix` looks at db_id alone, and narrows what `q` finds."""
    for db_id, text in (("mina-1", "하나"), ("mina-2", "둘"), ("sora-1", "하나 mina-")):
        await lab.say(text, db_id=db_id)
    params = {**A, "db_id_prefix": "mina-"}
    found = (await lab.http.get("/conversations", params=params)).json()["conversations"]
    assert [c["db_id"] for c in found] == ["mina-2", "mina-1"]
    both = (await lab.http.get("/conversations", params={**params, "q": "하나"})).json()
    assert [c["db_id"] for c in both["conversations"]] == ["mina-1"]


async def test_title_is_set_and_taken_away(lab: Lab) -> None:
    """PATCH names a conversation, null unnames it, and reading it tells."""
    await lab.say("안녕")
    named = await lab.http.patch("/conversations/d", params=A, json={"title": " 여행 "})
    assert named.json()["title"] == "여행"
    await lab.http.patch("/conversations/d", params=A, json={"title": None})
    read = (await lab.http.get("/conversations/d", params=A)).json()
    assert (read["title"], read["turns"], read["preview"]) == (None, 1, "안녕")


@pytest.mark.parametrize("title", ["", " ", "가" * 201, 5])
async def test_bad_titles_are_refused(office: Lab, title: object) -> None:
    """An empty, overlong or non-text title is 422 and names the field."""
    await office.say("안녕")
    answer = await office.http.patch("/conversations/d", params=A, json={"title": title})
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"][0]["field"] == "title"


async def test_turns_are_read_in_pages(lab: Lab) -> None:
    """Turns come oldest first from `first` on, and the last page says that it is."""
    said = [await lab.say(f"{n}번 질문") for n in range(3)]
    page = (await lab.http.get("/conversations/d/turns", params={**A, "limit": 2})).json()
    assert [t["output"] for t in page["turns"]] == said[:2]
    assert page["next_first"] == 2
    rest = (await lab.http.get("/conversations/d/turns", params={**A, "first": 2})).json()
    assert [(t["index"], t["input"], t["status"]) for t in rest["turns"]] == [
        (2, "2번 질문", "complete")
    ]
    assert rest["next_first"] is None


async def test_delete_one_and_all(lab: Lab) -> None:
    """A deleted conversation is gone, the others stay; deleting all leaves none of this user."""
    for name in ("d1", "d2"):
        await lab.say("안녕", db_id=name)
    await lab.say("안녕", user_id="b", db_id="d1")
    gone = await lab.http.delete("/conversations/d1", params=A)
    assert gone.json() == {"deleted_turns": 1}
    assert (await lab.http.get("/conversations/d1", params=A)).status_code == 404
    assert (await lab.http.delete("/conversations/d1", params=A)).status_code == 404
    assert (await lab.http.delete("/conversations", params=A)).json() == {"deleted_turns": 1}
    assert (await lab.http.get("/conversations", params=A)).json()["conversations"] == []
    other = (await lab.http.get("/conversations", params={"user_id": "b"})).json()
    assert len(other["conversations"]) == 1


async def test_regenerated_answers_are_kept_and_selectable(lab: Lab) -> None:
    """Regenerating adds an answer and selects it; selecting the first one brings it back."""
    first = await lab.say("안녕")
    body = dict(lab.character)
    answer = await lab.http.post("/conversations/d/regenerate", params=A, json=body)
    assert answer.status_code == 200
    assert answer.headers["X-Turn"] == "0"
    second = answer.json()
    turn = (await lab.http.get("/conversations/d/turns", params=A)).json()["turns"][0]
    assert turn["outputs"] == [first, second]
    assert (turn["selected"], turn["output"]) == (1, second)
    chosen = await lab.http.post("/conversations/d/turns/0/select", params=A, json={"selected": 0})
    assert chosen.json()["output"] == first
    bad = await lab.http.post("/conversations/d/turns/0/select", params=A, json={"selected": 2})
    assert bad.status_code == 422
    assert bad.json()["error"]["fields"][0]["field"] == "selected"


async def test_regeneration_repeats_the_same_prompt(lab: Lab) -> None:
    """The model sees exactly what it saw the first time, the time of day included."""
    await lab.say("안녕")
    await lab.http.post("/conversations/d/regenerate", params=A, json=dict(lab.character))
    before, after = lab.model.requests
    assert before.messages == after.messages


async def test_edit_replaces_a_turn_and_what_followed(lab: Lab) -> None:
    """Editing turn 1 of three leaves turn 0 and the new turn 1."""
    for n in range(3):
        await lab.say(f"{n}번")
    body = {**lab.character, "input_data": "고친 말"}
    answer = await lab.http.post("/conversations/d/turns/1/edit", params=A, json=body)
    assert answer.status_code == 200
    turns = (await lab.http.get("/conversations/d/turns", params=A)).json()["turns"]
    assert [t["input"] for t in turns] == ["0번", "고친 말"]
    assert turns[1]["output"] == answer.json()
    body["input_data"] = "또"
    late = await lab.http.post("/conversations/d/turns/2/edit", params=A, json=body)
    assert late.status_code == 404


async def test_continue_goes_on_with_the_last_answer(lab: Lab) -> None:
    """The new part is the answer; the turn then holds both parts."""
    first = await lab.say("안녕")
    body = dict(lab.character)
    answer = await lab.http.post("/conversations/d/continue", params=A, json=body)
    assert answer.status_code == 200
    assert lab.model.requests[-1].messages[-1].role == "assistant"
    turn = (await lab.http.get("/conversations/d/turns", params=A)).json()["turns"][0]
    assert turn["output"] == first + answer.json()


async def test_office_bodies_may_be_left_out(office: Lab) -> None:
    """Regenerating and continuing need no body where there is nothing to say."""
    await office.say("안녕")
    for way in ("regenerate", "continue"):
        assert (await office.http.post(f"/conversations/d/{way}", params=A)).status_code == 200


async def test_answers_stream_like_any_other(lab: Lab) -> None:
    """With Accept: text/event-stream the deltas join to what is stored."""
    await lab.say("안녕")
    headers = {"Accept": "text/event-stream"}
    answer = await lab.http.post(
        "/conversations/d/regenerate", params=A, json=dict(lab.character), headers=headers
    )
    events = [line for line in answer.text.split("\n\n") if line.startswith("event: delta")]
    said = "".join(json.loads(e.split("data: ")[1])["text"] for e in events)
    turn = (await lab.http.get("/conversations/d/turns", params=A)).json()["turns"][0]
    assert turn["output"] == said


async def test_branch_copies_up_to_a_turn(lab: Lab) -> None:
    """The copy has the turns with their alternatives; both then go their own way."""
    for n in range(3):
        await lab.say(f"{n}번")
    await lab.http.patch("/conversations/d", params=A, json={"title": "원본"})
    made = await lab.http.post(
        "/conversations/d/branch", params=A, json={"turn": 1, "db_id": "copy"}
    )
    assert (made.json()["db_id"], made.json()["turns"], made.json()["title"]) == ("copy", 2, "원본")
    await lab.say("다른 길", db_id="copy")
    turns = (await lab.http.get("/conversations/copy/turns", params=A)).json()["turns"]
    assert [t["input"] for t in turns] == ["0번", "1번", "다른 길"]
    assert (await lab.http.get("/conversations/d", params=A)).json()["turns"] == 3
    taken = await lab.http.post(
        "/conversations/d/branch", params=A, json={"turn": 0, "db_id": "copy"}
    )
    assert taken.status_code == 422
    late = await lab.http.post("/conversations/d/branch", params=A, json={"turn": 3})
    assert late.status_code == 404
    free = (await lab.http.post("/conversations/d/branch", params=A, json={"turn": 0})).json()
    assert free["turns"] == 1


async def test_export_holds_every_turn(lab: Lab) -> None:
    """JSON lines are the turns as read; Markdown holds every input and answer."""
    said = [await lab.say(f"{n}번 질문") for n in range(3)]
    turns = (await lab.http.get("/conversations/d/turns", params=A)).json()["turns"]
    lines = await lab.http.get("/conversations/d/export", params=A)
    assert lines.headers["content-type"].startswith("application/jsonl")
    assert 'filename="d.jsonl"' in lines.headers["content-disposition"]
    read = [json.loads(line) for line in lines.text.splitlines()]
    # the labs' team lives in Seoul
    seoul = dt.timezone(dt.timedelta(hours=9))
    times = [dt.datetime.fromtimestamp(turn["created_at"], seoul) for turn in turns]
    assert [line.pop("local_time") for line in read] == [time.isoformat() for time in times]
    assert [line.pop("ai_generated") for line in read] == [True] * len(turns)
    assert read == turns
    page = await lab.http.get("/conversations/d/export", params={**A, "format": "markdown"})
    assert page.headers["content-type"].startswith("text/markdown")
    assert page.text.startswith("# 0번 질문\n\n_이 대화의 답변은 생성형 AI가 작성했습니다._\n")
    for n, answer in enumerate(said):
        assert f"\n_{times[n]:%Y-%m-%d %H:%M}+09:00 · " in page.text
        assert f"> {n}번 질문" in page.text
        assert answer in page.text
    wrong = await lab.http.get("/conversations/d/export", params={**A, "format": "pdf"})
    assert wrong.status_code == 422


async def test_an_export_is_labelled_in_the_readers_language_or_not_at_all(lab: Lab) -> None:
    """English by Accept-Language; no sentence where the operator has switched the notice off."""
    await lab.say("질문")
    asked: dict[str, Any] = {
        "params": {**A, "format": "markdown"},
        "headers": {"Accept-Language": "en"},
    }
    page = await lab.http.get("/conversations/d/export", **asked)
    assert "written by a generative AI" in page.text
    lab.app.state.options = replace(lab.app.state.options, ai_notice=False)
    page = await lab.http.get("/conversations/d/export", **asked)
    assert "AI" not in page.text
    assert (await lab.http.get("/model")).json()["ai_notice"] is False


async def test_every_answer_says_that_an_ai_wrote_it(lab: Lab) -> None:
    """As JSON, as a stream and for OpenAI's clients; what is no answer says nothing."""
    body = {"input_data": "안녕", **lab.character}
    chat = {"model": "Llama", "messages": [{"role": "user", "content": "안녕"}]}
    for path, sent, headers in (
        ("/Llama", body, {}),
        ("/Llama", body, {"Accept": "text/event-stream"}),
        ("/v1/chat/completions", chat, {}),
        ("/v1/chat/completions", {**chat, "stream": True}, {}),
    ):
        answer = await lab.http.post(path, json=sent, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.headers["X-AI-Generated"] == "true"
    assert "X-AI-Generated" not in (await lab.http.get("/limits")).headers


async def test_user_must_be_named(lab: Lab) -> None:
    """Without a user key the user_id is required; its absence names the field."""
    answer = await lab.http.get("/conversations")
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"][0]["field"] == "user_id"


async def test_wrong_method_names_the_right_ones(office: Lab) -> None:
    """405 lists what the path takes; a path that is none is 404."""
    answer = await office.http.put("/conversations/d", json={})
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "DELETE, GET, PATCH"
    assert (await office.http.put("/nowhere", json={})).status_code == 404
    assert (await office.http.put("/gpt4.1", json={})).status_code == 405


async def test_what_streamed_is_stored(office: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer about the marks of thoughts is stored as it was shown, code and all; thoughts that
    only their end told from the answer are not, unless nothing is left."""
    shown = "```\n<think>\n생각\n</think>\n```\n이렇게 씁니다."
    for text, stored in (
        (shown, shown),
        (f"<think>음</think>{shown}", shown),
        ("<think>음</think>hi\n</think>\nok", "hi\n</think>\nok"),
        ("음, 인사다.\n</think>\n\n안녕", "안녕"),
        ("끝 표시는\n</think>", "끝 표시는\n</think>"),
    ):
        async with faulty_server(sse(delta(text), finish(), DONE)) as server:
            engine = LlamaModel(server.url, name="m", context_tokens=4096)
            monkeypatch.setattr(office.model, "stream", engine.stream)
            body = {"input_data": "?", **A, "db_id": "marks"}
            events = {"Accept": "text/event-stream"}
            assert (await office.http.post("/Llama", json=body, headers=events)).is_success
            await engine.close()
        turns = (await office.http.get("/conversations/marks/turns", params=A)).json()["turns"]
        assert turns[-1]["output"] == stored
