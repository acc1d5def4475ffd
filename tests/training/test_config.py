"""TRL's configs out of checked settings: what passes, what is refused, what is told of them."""

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from cai.errors import TrainingError
from cai.training.card import describe_settings
from cai.training.config import lora_config, lora_settings, machine, make_config, parse_value
from cai.training.config_checks import RANGES, Machine, problems_of
from cai.training.settings import read_settings
from cai.training.trainers import TRAINERS
from cai.training.trl import config_class

ROOT = Path(__file__).parents[2]
ON_CPU = Machine(has_gpu=False, has_bf16=False)


def fixed(folder: Path) -> dict[str, object]:
    return {"output_dir": str(folder / "out"), "report_to": "none", "use_cpu": True}


def made(trainer: str, folder: Path, text: str, **defaults: object):
    path = folder / "block.yaml"
    path.write_text(text, encoding="utf-8")
    return make_config(TRAINERS[trainer], read_settings(path), fixed(folder), defaults)


def refusal(trainer: str, folder: Path, text: str) -> str:
    with pytest.raises(TrainingError) as caught:
        made(trainer, folder, text)
    return str(caught.value)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_nothing_set_differs_from_trl_in_nothing_but_the_precision_of_a_cpu(
    trainer: str, tmp_path: Path
):
    config = made(trainer, tmp_path, "")
    assert type(config) is config_class(TRAINERS[trainer])
    assert describe_settings(config, fixed(tmp_path)) == {"bf16": False}


@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_block_goes_before_the_default_and_the_fixed_before_the_block(
    trainer: str, tmp_path: Path
):
    config = made(trainer, tmp_path, "learning_rate: 1e-4\n", learning_rate=3e-3, max_steps=7)
    assert config.learning_rate == 1e-4
    assert config.max_steps == 7
    assert config.output_dir == str(tmp_path / "out")


def test_the_block_of_lora_is_none_of_the_fields(tmp_path: Path):
    assert made("sft", tmp_path, "max_steps: 3\nlora: {r: 4}\n").max_steps == 3


def test_a_mapping_of_python_does_too(tmp_path: Path):
    assert make_config(TRAINERS["dpo"], {"max_steps": 3}, fixed(tmp_path), {}).max_steps == 3
    with pytest.raises(TrainingError, match=r"^settings: 'max_stepz' is not a setting of dpo"):
        make_config(TRAINERS["dpo"], {"max_stepz": 3}, fixed(tmp_path), {})


@pytest.mark.parametrize("name", ["gradient_checkpointing", "activation_checkpointing"])
def test_checkpointing_is_taken_by_either_name(tmp_path: Path, name: str):
    config = made("sft", tmp_path, f"{name}: false\n")
    assert config.gradient_checkpointing is config.activation_checkpointing is False
    assert describe_settings(config)["activation_checkpointing"] is False


def test_the_example_is_taken_and_is_what_the_page_shows(tmp_path: Path):
    example = ROOT / "examples" / "training" / "sft.yaml"
    settings = read_settings(example)
    told = describe_settings(
        make_config(TRAINERS["sft"], settings, fixed(tmp_path), {}), fixed(tmp_path)
    )
    assert told["learning_rate"] == 1e-4
    lora = settings.block("lora")
    assert lora is not None
    assert lora_settings(lora).dropout == 0.05
    page = (ROOT / "docs" / "training-settings.md").read_text("utf-8")
    (tmp_path / "page.yaml").write_text(page.partition("```yaml\n")[2].partition("```")[0])
    assert dict(read_settings(tmp_path / "page.yaml")) == dict(settings)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_settings_among_the_examples_are_taken_as_they_stand(tmp_path: Path, trainer: str):
    settings = read_settings(ROOT / "examples" / "training" / f"{trainer}.yaml")
    config = make_config(TRAINERS[trainer], settings, fixed(tmp_path), {})
    assert config.learning_rate == float(str(settings["learning_rate"]))
    assert config.logging_steps == settings["logging_steps"]
    lora = settings.block("lora")
    assert lora is not None
    assert lora_config(lora_settings(lora), TRAINERS[trainer].head).lora_alpha == lora["alpha"]


def test_every_problem_has_a_line_of_its_own(tmp_path: Path):
    said = refusal("sft", tmp_path, "learnin_rate: 1\nmax_steps: ten\nseed: yes\n").splitlines()
    assert [line.partition("block.yaml:")[2] for line in said] == [
        "1: 'learnin_rate' is not a setting of sft (SFTConfig). Did you mean 'learning_rate'?",
        "2: 'max_steps' is 'ten'. It must be int.",
        "3: 'seed' is True. It must be int.",
    ]


def test_of_many_problems_ten_are_told_and_the_others_counted(tmp_path: Path):
    said = refusal("sft", tmp_path, "".join(f"no_such_{n}: 1\n" for n in range(13))).splitlines()
    assert len(said) == 11
    assert said[-1] == "And 3 more."


@pytest.mark.parametrize("text", ["fp16: false", "bf16: null", "bf16: false", ""])
def test_a_cpu_trains_in_float32_however_it_is_said(tmp_path: Path, text: str):
    config = made("sft", tmp_path, text)
    assert (config.bf16, config.fp16) == (False, False)


def test_an_override_is_named_as_the_place(tmp_path: Path):
    with pytest.raises(TrainingError, match=r"^--set max_steps: 'max_steps' is 'ten'"):
        make_config(TRAINERS["sft"], read_settings(None, ["max_steps=ten"]), fixed(tmp_path), {})


@pytest.mark.parametrize(
    ("trainer", "text", "said"),
    [
        ("sft", "output_dir: x", "'output_dir' is set by cai itself. Use --out instead."),
        ("sft", "use_cpu: true", "'use_cpu' is set by cai itself. Leave it out."),
        ("sft", "lr_scheduler_type: cosin", "Did you mean 'cosine'?"),
        ("sft", "warmup_ratio: 0.1", "Did you mean 'warmup_steps'?"),
        ("sft", "parallelism_config: {a: 1}", "ParallelismConfig"),
        ("dpo", "loss_type: [sigmoid, stf]", "is 'stf'. It must be one of sigmoid, hinge"),
        ("dpo", "f_divergence_type: kl", "one of reverse_kl, forward_kl"),
        ("kto", "loss_type: ktp", "It must be one of kto, apo_zero_unpaired. Did you mean 'kto'?"),
        ("kto", "per_device_train_batch_size: 1", "It must be at least 2."),
        ("grpo", "loss_type: ppo", "one of grpo, dr_grpo"),
        ("dpo", "label_smoothing: 0.1", "Use --label-smoothing."),
        ("dpo", "padding_free: true", "has no effect: TRL pads pairs"),
        ("sft", "padding_free: true", "also needs `packing: true`"),
        ("sft", "assistant_only_loss: true", "the loss is computed on the completion only"),
        ("sft", "push_to_hub: true", "Name it with hub_model_id: OWNER/NAME."),
        ("sft", "fsdp: full_shard", "Use --launch fsdp instead."),
        (
            "sft",
            "load_best_model_at_end: true",
            "load_best_model_at_end requires the save and eval strategy",
        ),
        ("sft", "per_device_train_batch_size: 0", "is 0. It must be at least 1."),
        ("sft", "learning_rate: -1e-4", "is -0.0001. It must be at least 0."),
        ("rloo", "num_generations: 1", "is 1. It must be at least 2."),
    ],
)
def test_what_would_fail_late_or_do_nothing_is_refused_early(
    tmp_path: Path, trainer: str, text: str, said: str
):
    found = refusal(trainer, tmp_path, text)
    assert found.startswith(f"{tmp_path / 'block.yaml'}:1: ")
    assert said in found
    assert "\n" not in found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hub_token: hf_abc", "'hub_token' is a secret"),
        ("model_init_kwargs: {token: hf_abc}", "'model_init_kwargs.token' is a secret"),
    ],
)
def test_a_secret_is_refused_and_not_repeated(tmp_path: Path, text: str, said: str):
    found = refusal("sft", tmp_path, text)
    assert said in found
    assert "HF_TOKEN" in found
    assert "hf_abc" not in found


@pytest.mark.parametrize(
    ("trainer", "text", "said"),
    [
        (
            "grpo",
            "seed: 1\nnum_generations: 3",
            ":2: GRPOConfig refuses these settings: generation",
        ),
        ("rloo", "num_generations: 3", "(8) must be divisible by num_generations (3)."),
        ("sft", "logging_steps: 2.5", "logging_steps must be an integer if bigger than 1: 2.5."),
        ("sft", "accelerator_config: {x: 2}", "unexpected keyword argument 'x'."),
    ],
)
def test_what_the_config_itself_finds_wrong_is_one_line(
    tmp_path: Path, trainer: str, text: str, said: str
):
    found = refusal(trainer, tmp_path, text)
    assert said in found
    assert "\n" not in found


@pytest.mark.parametrize(
    ("trainer", "text"),
    [
        ("sft", "pad_token: x"),
        ("dpo", "truncation_mode: keep_end"),
        ("sft", "loss_type: chunked_nll"),
        ("grpo", "use_transformers_paged: true"),
        ("grpo", "vllm_importance_sampling_cap: 2.0"),
    ],
)
def test_what_trl_is_about_to_remove_is_an_error_and_no_warning(
    tmp_path: Path, trainer: str, text: str
):
    found = refusal(trainer, tmp_path, text)
    assert "is out of date" in found
    assert "v2.0.0" in found


def test_smoothing_acts_on_the_losses_that_read_it(tmp_path: Path):
    config = made("dpo", tmp_path, "loss_type: robust\nlabel_smoothing: 0.1\n")
    assert describe_settings(config, fixed(tmp_path)) == {
        "bf16": False,
        "label_smoothing": 0.1,
        "loss_type": ["robust"],
    }


def test_true_and_false_scale_rewards_as_in_trl(tmp_path: Path):
    assert describe_settings(made("grpo", tmp_path, "scale_rewards: false"))["scale_rewards"] == (
        "none"
    )


def of(values: Mapping[str, object], here: Machine = ON_CPU) -> dict[str, str]:
    return dict(problems_of(TRAINERS["sft"], values, here))


def test_half_precision_is_refused_where_the_device_has_none():
    old, new = Machine(has_gpu=True, has_bf16=False), Machine(has_gpu=True, has_bf16=True)
    assert list(of({"bf16": True}, ON_CPU)) == ["bf16"]
    assert list(of({"bf16": True}, old)) == ["bf16"]
    assert list(of({"bf16": True}, new)) == []
    assert list(of({"fp16": True}, ON_CPU)) == ["fp16"]
    assert list(of({"fp16": True}, old)) == []
    assert list(of({"bf16": False, "fp16": None}, ON_CPU)) == []


def test_a_cpu_that_is_asked_for_may_train_in_bfloat16(tmp_path: Path):
    assert list(of({"bf16": True, "use_cpu": True}, ON_CPU)) == []
    assert describe_settings(made("sft", tmp_path, "bf16: true"), fixed(tmp_path)) == {}


@pytest.mark.parametrize("name", ["use_vllm", "use_liger_kernel", "deepspeed"])
def test_what_is_not_installed_is_said_before_anything_is_loaded(name: str):
    library = {"use_vllm": "vllm", "use_liger_kernel": "liger_kernel"}.get(name, name)
    try:
        __import__(library)
    except ImportError:
        assert list(of({name: True}, machine())) == [name]
    else:
        pytest.skip(f"{library} is installed")


def test_the_ranges_are_of_fields_that_there_are_and_hold_trls_own_defaults():
    known = [
        field
        for spec in TRAINERS.values()
        for field in config_class(spec).__dataclass_fields__.values()
    ]
    assert set(RANGES) <= {field.name for field in known}
    defaults = [{field.name: field.default} for field in known if field.name in RANGES]
    assert [of(default) for default in defaults] == [{}] * len(defaults)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("max_steps", 0, "is 0. It must be at least 1, or -1 for no limit."),
        ("save_steps", 0, "is 0. It must be above 0."),
        ("top_p", 1.5, "is 1.5. It must be above 0 and at most 1."),
        ("data_seed", 2**32, "is 4.29497e+09. It must be at least 0 and at most 4294967295."),
        ("adam_beta2", 1, "is 1. It must be at least 0 and below 1."),
    ],
)
def test_numbers_out_of_range_are_told_their_range(name: str, value: float, said: str):
    assert of({name: value}) == {name: said}


def test_numbers_in_their_range_are_silent():
    fine = {"max_steps": -1, "top_p": 1.0, "learning_rate": 0, "save_steps": 0.1, "beta": 0.0}
    assert of(fine) == of({"data_seed": True, "top_p": None}) == {}


class Strategy(StrEnum):
    NO = "no"
    STEPS = "steps"


@pytest.mark.parametrize(
    ("value", "annotation", "parsed"),
    [
        ("1e-4", float, 1e-4),  # YAML 1.1 reads it as text
        (["1e-4", 2], list[float] | None, [1e-4, 2]),
        ("1e-4", float | str, "1e-4"),
        ([-1, 2.5], tuple[float, float] | None, (-1, 2.5)),
        (False, Strategy | str, "no"),  # YAML 1.1 reads `no` as a boolean
        ("a", list[str], ["a"]),
        ({"a": True}, dict[str, bool], {"a": True}),
        (None, int | None, None),
        (3, float, 3),
    ],
)
def test_values_of_yaml_are_parsed_by_the_annotation(
    value: object, annotation: object, parsed: object
):
    assert parse_value(value, annotation, "name") == parsed


@pytest.mark.parametrize(
    ("value", "annotation", "wanted"),
    [
        (True, int, "int"),
        (1.5, int, "int"),
        (True, float, "float"),
        (float("nan"), float, "float"),
        ("inf", float | None, "float | None"),
        (1, bool, "bool"),
        (["a", 1], list[str], "list[str]"),
        ([1.0], tuple[float, float], "tuple[float, float]"),
        ("x", dict[str, Any] | str | None, "a mapping"),
    ],
)
def test_a_value_of_another_type_is_told_the_type(value: object, annotation: object, wanted: str):
    with pytest.raises(ValueError, match=re.escape(f"It must be {wanted}.")):
        parse_value(value, annotation, "name")


@pytest.mark.parametrize("name", ["lr_scheduler_kwargs", "model_init_kwargs"])
def test_text_is_no_mapping(tmp_path: Path, name: str):
    assert "'x'. It must be a mapping." in refusal("sft", tmp_path, f"{name}: x")


def test_what_only_follows_from_the_batch_is_not_told(tmp_path: Path):
    config = made(
        "grpo", tmp_path, "per_device_train_batch_size: 4\ngradient_accumulation_steps: 4"
    )
    assert describe_settings(config, fixed(tmp_path)) == {
        "bf16": False,
        "gradient_accumulation_steps": 4,
        "per_device_train_batch_size": 4,
    }
    config = made("rloo", tmp_path, "generation_batch_size: 32")
    assert describe_settings(config, fixed(tmp_path))["generation_batch_size"] == 32


def test_the_description_is_json_and_holds_no_folder_and_no_secret(tmp_path: Path):
    config = made(
        "sft", tmp_path, "optim: sgd\nsave_strategy: no\nlora: {r: 4}\noptim_target_modules: [a]\n"
    )
    config.hub_token = "hf_abc"
    told = json.dumps(describe_settings(config))
    assert json.loads(told) == {
        "bf16": False,
        "optim": "sgd",
        "optim_target_modules": ["a"],
        "save_strategy": "no",
    }
