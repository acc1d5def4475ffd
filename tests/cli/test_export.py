"""`cai export`: runs as the files of every format, counts of what is left out, refusals."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from made_runs import FAILED, MIXED_SAMPLES, MIXED_SCORED, chain, contested, made_run
from openai_server import LocalServer, refusal
from reward_server import CallCai, Ended, assert_refused, spec, told_by_request, write_prompts

from cai.methods.revision import Chain
from cai.types import Message, Prompt


@pytest.fixture
def run(call_cai: CallCai, local_server: LocalServer, tmp_path: Path) -> Path:
    """A run of eight prompts; number 2 failed, and the revision of number 5 changed nothing."""

    def reply(received):
        texts = [message["content"] for message in received.body["messages"]]
        if "number 2?" in texts[0]:
            return refusal(400, "This model's maximum context length is 2048 tokens.")
        if "number 5?" in texts[0]:
            return {**told_by_request(received), "choices": [same_words()]}
        return told_by_request(received)

    local_server.reply = reply
    prompts = write_prompts(tmp_path / "prompts.jsonl", 8)
    model = spec(local_server)
    ended = call_cai("revise", prompts, "-c", "testbed", "-m", model, "-o", tmp_path / "run")
    assert ended.code == 1
    return tmp_path / "run"


def same_words() -> dict[str, object]:
    return {
        "message": {"role": "assistant", "content": "Keep it dry."},
        "finish_reason": "stop",
        "index": 0,
    }


@pytest.fixture
def export(call_cai: CallCai, run: Path, tmp_path: Path) -> Callable[..., Ended]:
    def call(format: str, name: str, *more: object) -> Ended:
        return call_cai("export", run, "--format", format, "-o", tmp_path / name, *more)

    return call


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_sft_rows_hold_the_last_revision(export, tmp_path):
    ended = export("sft", "sft.jsonl")
    assert ended.code == 0
    assert ended.out.startswith(f"{tmp_path / 'sft.jsonl'}: sft: 7 rows; left out: 1 failed\n")
    assert "--sft-share 0.5" in ended.out
    written = rows(tmp_path / "sft.jsonl")
    assert [row["id"] for row in written] == [f"request-{i}" for i in (0, 1, 3, 4, 5, 6, 7)]
    first = written[0]
    assert first["prompt"] == [{"role": "user", "content": "How do I mend lamp number 0?"}]
    assert first["completion"][0]["role"] == "assistant"
    assert first["completion"][0]["content"].endswith("naïve 👍.")
    assert first["provenance"]["constitution"]["name"] == "testbed"
    assert first["provenance"]["roles"]["respond"]["temperature"] == 1.0


def test_preference_rows_set_the_revision_over_the_response(export, tmp_path):
    ended = export("preference", "preference.jsonl")
    assert "preference: 6 rows; left out: 1 failed, 1 unchanged" in ended.out
    for row in rows(tmp_path / "preference.jsonl"):
        assert set(row) == {
            "prompt", "chosen", "rejected", "chosen_probability", "judging", "id", "metadata",
            "provenance",
        }  # fmt: skip
        assert row["chosen"] != row["rejected"]


def test_everything_holds_the_failures_too(export, tmp_path):
    assert "everything: 8 rows" in export("everything", "all.jsonl").out
    failed = rows(tmp_path / "all.jsonl")[2]
    assert (failed["id"], failed["error"]["kind"]) == ("request-2", "ContextLengthError")


def test_prompts_alone(export, tmp_path):
    assert export("prompts", "prompts-out.jsonl").code == 0
    [first, *_] = rows(tmp_path / "prompts-out.jsonl")
    assert set(first) == {"prompt", "id", "metadata", "provenance"}


def test_splits_share_no_prompt_and_leave_none_out(export, tmp_path):
    export("sft", "sft.jsonl", "--sft-share", 0.5)
    export("preference", "preference.jsonl", "--sft-share", 0.5)
    sft = {row["id"] for row in rows(tmp_path / "sft.jsonl")}
    preference = {row["id"] for row in rows(tmp_path / "preference.jsonl")}
    assert not sft & preference
    assert sft | preference | {"request-5"} == {f"request-{i}" for i in (0, 1, 3, 4, 5, 6, 7)}


def test_json_tells_the_counts(export, tmp_path):
    assert json.loads(export("preference", "p.jsonl", "--json").out) == {
        "file": str(tmp_path / "p.jsonl"),
        "for": "trl",
        "format": "preference",
        "rows": 6,
        "considered": 8,
        "left_out": {"failed": 1, "unchanged": 1},
    }


def test_a_flag_to_drop_adds_to_those_that_are_always_dropped(export):
    counts = json.loads(export("sft", "sft.jsonl", "--drop", "unchanged", "--json").out)
    assert counts["left_out"] == {"failed": 1, "unchanged": 1}


def test_gzip_holds_the_same_bytes_each_time(export, tmp_path):
    export("sft", "plain.jsonl")
    export("sft", "one.jsonl.gz")
    export("sft", "two.jsonl.gz")
    assert (tmp_path / "one.jsonl.gz").read_bytes() == (tmp_path / "two.jsonl.gz").read_bytes()
    unpacked = gzip.decompress((tmp_path / "one.jsonl.gz").read_bytes())
    assert unpacked == (tmp_path / "plain.jsonl").read_bytes()


def test_exporting_again_replaces_the_file(export, tmp_path):
    (tmp_path / "sft.jsonl").write_text("old")
    assert export("sft", "sft.jsonl").code == 0
    assert len(rows(tmp_path / "sft.jsonl")) == 7


@pytest.mark.parametrize(
    ("format", "name", "more", "said"),
    [
        ("sft", "sft.csv", (), "the suffix is not one of .jsonl, .jsonl.gz, .parquet"),
        ("sft", "sft.jsonl", ("--sft-share", 0), "no row is left to write"),
        ("sft", "sft.jsonl", ("--sft-share", 2), "2.0 is not in the range"),
        ("sft", "run.jsonl/sft.jsonl", (), "cannot be written"),
        ("sft", "sft.jsonl", ("--balance-length",), "Lengths are balanced between the sides"),
        ("kto", "kto.jsonl", ("--for", "verl"), "verl does not read the format 'kto'"),
        ("sft", "sft.jsonl", ("--drop-near-duplicates", 0.3), "0.3 is not in the range"),
        ("sft", "sft.jsonl", ("--drop-near-duplicates=runs",), "not a valid float"),
        ("preference", "p.jsonl", ("--min-margin", 0.6), "0.6 is not in the range"),
    ],
)
def test_a_refused_export_writes_nothing(export, tmp_path, format, name, more, said):
    (tmp_path / "run.jsonl").write_text("a file, not a folder")
    before = sorted(tmp_path.iterdir())
    assert_refused(export(format, name, *more), said)
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_is_no_run_is_refused(call_cai, tmp_path):
    ended = call_cai("export", tmp_path, "--format", "sft", "-o", tmp_path / "sft.jsonl")
    assert_refused(ended, "is not a run")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """Six judged groups: probabilities of the first of two, and a group of three."""
    matchups = [0.9, 0.55, 0.5, 0.2, "refused"]
    items = [
        contested(str(n), ["long enough", "short"], {(0, 1): p}) for n, p in enumerate(matchups)
    ]
    items.append(contested("3-way", ["a", "b", "c"], {(0, 1): 0.75, (1, 2): 0.75, (0, 2): 0.95}))
    made_run(tmp_path / "judged", [*items, FAILED]).close()
    return tmp_path / "judged"


def test_a_judged_run_gives_what_its_verdicts_favour(call_cai, judged, tmp_path):
    out = tmp_path / "preference.jsonl"
    ended = call_cai("export", judged, "--format", "preference", "-o", out)
    assert ended.out.startswith(
        f"{out}: preference: 4 rows; left out: 1 failed, 1 refused, 1 tie\n"
    )
    written = {row["id"]: row for row in rows(out)}
    assert {id: row["chosen"][0]["content"] for id, row in written.items()} == {
        "0": "long enough", "1": "long enough", "3": "short", "3-way": "a",
    }  # fmt: skip
    assert [row["chosen_probability"] for row in written.values()] == [0.9, 0.55, 0.8, 0.95]


@pytest.mark.parametrize(
    ("options", "n", "left_out"),
    [
        (("--min-margin", 0.1), 3, {"failed": 1, "refused": 1, "tie": 1, "unsure": 1}),
        (("--pairs", "all"), 6, {"failed": 1, "refused": 1, "tie": 1}),
        (("--pairs", "one", "--min-margin", 0.45), 1,
         {"failed": 1, "refused": 1, "tie": 1, "unsure": 3}),
        (("--balance-length",), 3,
         {"failed": 1, "refused": 1, "tie": 1, "unbalanced length": 1}),
        (("--drop-near-duplicates",), 4, {"failed": 1, "refused": 1, "tie": 1}),
        (("--drop-near-duplicates", 0.5, "--keep-inconsistent"), 4,
         {"failed": 1, "refused": 1, "tie": 1}),
    ],
)  # fmt: skip
def test_options_of_pairs_leave_out_and_count(call_cai, judged, tmp_path, options, n, left_out):
    out = tmp_path / "rows.parquet"
    ended = call_cai("export", judged, "--format", "reward", "-o", out, "--json", *options)
    counts = json.loads(ended.out)
    assert (counts["rows"], counts["left_out"]) == (n, left_out)
    assert counts["considered"] == n + sum(left_out.values())


def test_labels_are_counted(call_cai, judged, tmp_path):
    out = tmp_path / "kto.jsonl"
    ended = call_cai("export", judged, "--format", "kto", "-o", out)
    assert "kto: 8 rows (4 good, 4 bad); left out: 1 failed, 1 refused, 1 tie" in ended.out
    counts = json.loads(call_cai("export", judged, "--format", "kto", "-o", out, "--json").out)
    assert (counts["good"], counts["bad"], counts["unwritten"]) == (4, 4, {})


def test_several_runs_go_into_one_file(call_cai, judged, run, tmp_path):
    out = tmp_path / "both.parquet"
    ended = call_cai("export", run, judged, "--format", "preference", "-o", out, "--json")
    counts = json.loads(ended.out)
    assert (counts["rows"], counts["considered"]) == (10, 15)
    assert counts["left_out"] == {"failed": 2, "unchanged": 1, "refused": 1, "tie": 1}


def test_a_run_that_lacks_the_format_is_named(call_cai, judged, tmp_path):
    made_run(tmp_path / "samples", MIXED_SAMPLES).close()
    out = tmp_path / "rows.jsonl"
    ended = call_cai("export", judged, tmp_path / "samples", "--format", "reward", "-o", out)
    assert_refused(ended, f"{tmp_path / 'samples'}: a run of `cai sample` has no rows")
    assert not out.exists()


def test_scored_responses_are_good_from_the_least_score_on(call_cai, tmp_path):
    made_run(tmp_path / "scored", MIXED_SCORED).close()
    out = tmp_path / "kto.jsonl"
    ended = call_cai(
        "export", tmp_path / "scored", "--format", "kto", "--min-score", 0.5, "-o", out
    )
    assert "kto: 3 rows (1 good, 2 bad); left out: 1 failed, 1 unparsed" in ended.out


def test_the_rows_and_the_files_beside_them_are_those_of_the_trainer(call_cai, judged, tmp_path):
    out = tmp_path / "rows.jsonl"
    ended = call_cai("export", judged, "--format", "preference", "--for", "llamafactory", "-o", out)
    assert f"With it: {tmp_path / 'dataset_info.json'}, " in ended.out
    assert isinstance(rows(out)[0]["chosen"], str)


def test_earlier_turns_that_a_trainer_cannot_mask_are_told_once(call_cai, tmp_path):
    turns = (Message("user", "Hi."), Message("assistant", "Yes?"), Message("user", "Go."))
    made_run(tmp_path / "run", [Chain.of(Prompt("talk", turns), "No."), chain("1", "No.")]).close()
    for trainer, warnings in (("torchtune", 1), ("axolotl", 0)):
        ended = call_cai(
            "export", tmp_path / "run", "--format", "sft", "--for", trainer,
            "-o", tmp_path / "sft.jsonl",
        )  # fmt: skip
        assert ended.out.count("in 1 of the rows") == warnings


def write_people(path: Path, n: int = 5) -> Path:
    rows = [{"prompt": f"Hm {i}?", "chosen": f"Yes {i}.", "rejected": "No."} for i in range(n)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def test_peoples_rows_are_mixed_in_and_told(export, tmp_path):
    people = write_people(tmp_path / "people.jsonl")
    ended = export("preference", "p.jsonl", "--mix", f"{people}:weight=0.25:confidence=0.9")
    assert ended.code == 0
    assert f"; mixed in: {people}: 2 rows, 25 % of the mix" in ended.out
    mixed = [row for row in rows(tmp_path / "p.jsonl") if row["provenance"]["method"] == "people"]
    assert [row["chosen_probability"] for row in mixed] == [0.9, 0.9]
    ended = export("sft", "s.jsonl", "--mix", f"{people}:weight=0.9", "--seed", 3, "--json")
    told = json.loads(ended.out)
    assert told["rows"] == 7 + 5
    assert told["mixed"] == [
        {
            "file": str(people), "rows": 5, "distinct": 5, "share": 5 / 12, "asked": 0.9,
            "left_out": {},
        }
    ]  # fmt: skip


def test_a_mix_that_cannot_be_made_ends_with_one_line_and_code_2(export, tmp_path):
    people = write_people(tmp_path / "people.jsonl")
    (tmp_path / "words.csv").write_text("better,worse\nx,y\n", "utf-8")
    with people.open("a", encoding="utf-8") as file:
        file.write('{"prompt": "q", "chosen": "same", "rejected": "same"}\n')
    for mix, said in (
        (f"{people}", "people.jsonl:6: 'chosen' and 'rejected' are equal"),
        (f"{people}:weight=2", "the weight is 2"),
        (f"{tmp_path / 'words.csv'}", "its columns are 'better', 'worse'"),
        (f"{tmp_path / 'none.csv'}", "none.csv: no such file"),
    ):
        ended = export("preference", "p.jsonl", "--mix", mix)
        assert_refused(ended, said)
        assert len(ended.err.splitlines()) == 1
        assert not (tmp_path / "p.jsonl").exists()
    ended = export("preference", "p.jsonl", "--mix", people, "--skip-bad-rows")
    assert ended.code == 0
    assert "not taken: 1 equal sides" in ended.out


def test_a_missing_part_is_refused_and_taken_without_with_partial(call_cai, tmp_path):
    prompts = write_prompts(tmp_path / "prompts.jsonl", 4)
    part = tmp_path / "part-1"
    call_cai(
        "revise",
        prompts,
        "-c",
        "testbed",
        "-m",
        "embedded",
        "--part",
        "1/2",
        "-o",
        part,
        "--rounds",
        1,
    )
    out = tmp_path / "sft.jsonl"
    ended = call_cai("export", part, "--format", "sft", "-o", out)
    assert_refused(ended, "part-1: of 2, part 2 is missing")
    assert call_cai("export", part, "--format", "sft", "-o", out, "--partial").code == 0
