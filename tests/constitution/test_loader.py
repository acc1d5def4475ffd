"""Loading by name and path, what is read as it stands, and `extends`."""

from pathlib import Path

import pytest

from cai.constitution.loader import (
    constitutions_folder,
    load_constitution,
    parse_constitution,
    shipped_constitutions,
)
from cai.errors import ConstitutionError


def write(folder: Path, name: str, extends: str = "", ids: str = "") -> Path:
    """A small constitution whose principles have the ids given in one string."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    principles = "".join(f"- {{id: {id}, text: The response is {id}.}}\n" for id in ids.split())
    path.write_text(
        f"name: {path.stem}\n"
        + (f"extends: {extends}\n" if extends else "")
        + (f"principles:\n{principles}" if ids else ""),
        encoding="utf-8",
    )
    return path


def ids(path: Path) -> list[str]:
    return [principle.id for principle in load_constitution(path).principles]


def refusal(name_or_path: str | Path) -> str:
    with pytest.raises(ConstitutionError) as caught:
        load_constitution(name_or_path)
    return str(caught.value)


@pytest.mark.usefixtures("in_tmp_path")
def test_a_shipped_constitution_is_found_by_name_from_any_folder():
    assert load_constitution("harmless").name == "harmless"


def test_a_shipped_name_wins_over_a_file_of_that_name(in_tmp_path):
    write(in_tmp_path, "harmless", ids="mine")
    assert len(load_constitution("harmless").principles) > 1
    assert ids(Path("harmless")) == ["mine"]


def test_a_file_without_an_ending_is_found(in_tmp_path):
    write(in_tmp_path, "mine", ids="a")
    assert load_constitution("mine").name == "mine"


def test_an_unknown_name_is_answered_with_the_nearest():
    assert "Did you mean 'harmless'?" in refusal("harmles")
    assert "harmless, helpful, honest" in refusal("something-else")


@pytest.mark.parametrize("name", ["missing.yaml", "x" * 400, "x" * 400 + ".yaml", "a\0.yaml", ""])
def test_a_name_that_leads_nowhere_is_said_plainly(name: str):
    assert "there is no" in refusal(name) or "cannot be read" in refusal(name)


def test_a_folder_is_no_constitution(tmp_path):
    assert "is not a file" in refusal(tmp_path)


def test_byte_order_mark_and_windows_line_ends_are_read(tmp_path):
    path = tmp_path / "windows.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: x\r\nprinciples:\r\n- id: a\r\n  text: One.\r\n")
    assert load_constitution(path).principles[0].text == "One."


@pytest.mark.parametrize(
    "text",
    [
        "{{ 7 * 7 }} {% include '/etc/passwd' %} {0} %s ${HOME}",
        "<|im_end|>\n<|im_start|>system",
        "\u202eesrever\u202c 👨\u200d👩\u200d👧",
    ],
)
def test_text_is_kept_as_it_is_written(text: str):
    quoted = text.replace("\n", "\\n")
    constitution = parse_constitution(
        f'name: x\nprinciples: [{{id: a, text: "{quoted}"}}]', "x.yaml", None
    )
    assert constitution.principles[0].text == text


def test_extended_principles_come_first_and_in_order(tmp_path):
    write(tmp_path, "first.yaml", ids="a b")
    write(tmp_path, "sub/second.yml", ids="c")
    top = write(tmp_path, "top.yaml", extends="[first.yaml, sub/second.yml]", ids="d")
    assert ids(top) == ["a", "b", "c", "d"]
    assert load_constitution(top).extends == ("first.yaml", "sub/second.yml")


def test_a_shipped_constitution_can_be_extended(tmp_path):
    top = write(tmp_path, "top.yaml", extends="honest", ids="mine")
    assert ids(top) == [*(p.id for p in load_constitution("honest").principles), "mine"]


def test_a_file_that_extends_needs_no_principles_of_its_own(tmp_path):
    write(tmp_path, "first.yaml", ids="a")
    assert ids(write(tmp_path, "top.yaml", extends="first.yaml")) == ["a"]


def test_text_without_a_folder_extends_shipped_constitutions_only(tmp_path):
    text = "name: x\nextends: honest\n"
    assert len(parse_constitution(text, "x", None).principles) > 1
    with pytest.raises(ConstitutionError, match="in no folder"):
        parse_constitution("name: x\nextends: a.yaml\n", "x", None)


def test_text_with_a_folder_extends_its_files(tmp_path):
    write(tmp_path, "first.yaml", ids="a")
    constitution = parse_constitution("name: x\nextends: first.yaml\n", "x", tmp_path)
    assert constitution.principles[0].id == "a"


def test_a_constitution_that_is_reached_twice_counts_once(tmp_path):
    write(tmp_path, "root.yaml", ids="a")
    write(tmp_path, "left.yaml", extends="root.yaml", ids="b")
    write(tmp_path, "right.yaml", extends="root.yaml", ids="c")
    top = write(tmp_path, "top.yaml", extends="[left.yaml, right.yaml, ./left.yaml]")
    assert ids(top) == ["a", "b", "c"]


def test_equal_ids_of_two_extended_files_are_refused_with_both(tmp_path):
    write(tmp_path, "left.yaml", ids="a")
    write(tmp_path, "right.yaml", ids="b a")
    found = refusal(write(tmp_path, "top.yaml", extends="[left.yaml, right.yaml]"))
    assert "'a'" in found
    assert "left.yaml" in found
    assert "right.yaml" in found


def test_an_id_of_an_extended_file_cannot_be_used_again(tmp_path):
    write(tmp_path, "left.yaml", ids="a")
    found = refusal(write(tmp_path, "top.yaml", extends="left.yaml", ids="a"))
    assert "top.yaml:4: principle 'a'" in found
    assert "left.yaml" in found


def test_lines_are_right_behind_extended_principles(tmp_path):
    write(tmp_path, "left.yaml", ids="a b c")
    top = tmp_path / "top.yaml"
    top.write_text("name: top\nextends: left.yaml\nprinciples:\n- {id: d, text: T., weight: x}\n")
    assert "top.yaml:4: principle 'd': 'weight'" in refusal(top)


def test_an_error_in_an_extended_file_names_that_file(tmp_path):
    (tmp_path / "left.yaml").write_text("name: left\nprinciples:\n- {id: a}\n")
    assert "left.yaml:3: principle 'a' has no 'text'" in refusal(
        write(tmp_path, "top.yaml", extends="left.yaml")
    )


def test_a_circle_is_shown(tmp_path):
    write(tmp_path, "a.yaml", extends="b.yaml", ids="a")
    write(tmp_path, "b.yaml", extends="a.yaml", ids="b")
    assert "a.yaml → b.yaml → a.yaml" in refusal(tmp_path / "a.yaml")
    assert "me.yaml → me.yaml" in refusal(write(tmp_path, "me.yaml", extends="me.yaml"))


def test_an_endless_chain_ends(tmp_path):
    for number in range(40):
        write(tmp_path, f"{number}.yaml", extends=f"{number + 1}.yaml")
    assert "more than 20 constitutions" in refusal(tmp_path / "0.yaml")


@pytest.mark.parametrize(
    "entry",
    [
        "../secret.yaml",
        "sub/../../secret.yaml",
        "link.yaml",
        "link/secret.yaml",
        "/etc/secret.yaml",
    ],
)
def test_extends_cannot_leave_the_folder(tmp_path, entry: str):
    (tmp_path / "secret.yaml").write_text("password: hunter2\n")
    folder = tmp_path / "folder"
    top = write(folder, "top.yaml", extends=entry)
    (folder / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    (folder / "link").symlink_to(tmp_path)
    found = refusal(top)
    assert "leads out of the file's folder" in found
    assert "hunter2" not in found
    assert "password" not in found


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("http://127.0.0.1:9/x.yaml", "Nothing is downloaded"),
        ("missing.yaml", "no such YAML file"),
        ("./notes.txt", "no such YAML file"),
        ("folder.yaml", "no such YAML file"),
        ("loop.yaml", "'loop.yaml'"),
        ("x" * 300 + ".yaml", "no such YAML file"),
        ('"a\\0.yaml"', "leads out"),
        ("honst", "Did you mean 'honest'?"),
    ],
)
def test_extends_of_what_is_no_constitution_is_refused(tmp_path, entry: str, expected: str):
    (tmp_path / "notes.txt").write_text("name: x\n")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    found = refusal(write(tmp_path, "top.yaml", extends=entry))
    assert "top.yaml:2: " in found
    assert expected in found


def test_what_changes_no_request_changes_no_hash():
    text = "name: x\nprinciples: [{id: a, text: One.}]\n"
    plain = parse_constitution(text, "x", None)
    assert parse_constitution(text + "description: d\n", "x", None).hash == plain.hash
    assert parse_constitution(text.replace("One", "Two"), "x", None).hash != plain.hash


def test_every_shipped_file_is_listed():
    files = {path.stem for path in constitutions_folder().iterdir() if path.suffix == ".yaml"}
    assert set(shipped_constitutions()) == files >= {"harmless", "helpful", "honest"}
