"""TRL's configs out of checked settings: what passes, what is refused, what is told of them."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of TRL and what it imports, on being imported
    from cai.training.card import describe_settings
    from cai.training.config import CONFIGS, config_of, machine
    from cai.training.lora import lora_config, lora_settings
from cai.errors import TrainingError
from cai.training.config_checks import (
    ABOVE,
    AT_LEAST,
    AT_MOST,
    BELOW,
    Machine,
    choices,
    out_of_range,
    refused,
)
from cai.training.settings import Trainer, read_settings

TRAINERS = list(CONFIGS)
ROOT = Path(__file__).parents[2]
ON_CPU = Machine(has_gpu=False, has_bf16=False)


def fixed(folder: Path) -> dict[str, object]:
    return {"output_dir": str(folder / "out"), "report_to": "none", "use_cpu": True}


def made(trainer: Trainer, folder: Path, text: str, **defaults: object):
    path = folder / "block.yaml"
    path.write_text(text, encoding="utf-8")
    return config_of(trainer, read_settings(path), fixed(folder), defaults)


def refusal(trainer: Trainer, folder: Path, text: str) -> str:
    with pytest.raises(TrainingError) as caught:
        made(trainer, folder, text)
    return str(caught.value)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_nothing_set_differs_from_trl_in_nothing_but_the_precision_of_a_cpu(
    trainer: Trainer, tmp_path: Path
):
    config = made(trainer, tmp_path, "")
    assert type(config) is CONFIGS[trainer]
    assert describe_settings(config, fixed(tmp_path)) == {"bf16": False}


@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_block_goes_before_the_default_and_the_fixed_before_the_block(
    trainer: Trainer, tmp_path: Path
):
    config = made(trainer, tmp_path, "learning_rate: 1e-4\n", learning_rate=3e-3, max_steps=7)
    assert config.learning_rate == 1e-4
    assert config.max_steps == 7
    assert config.output_dir == str(tmp_path / "out")


def test_the_block_of_lora_is_none_of_the_fields(tmp_path: Path):
    assert made("sft", tmp_path, "max_steps: 3\nlora: {r: 4}\n").max_steps == 3


def test_a_mapping_of_python_does_too(tmp_path: Path):
    assert config_of("dpo", {"max_steps": 3}, fixed(tmp_path), {}).max_steps == 3
    with pytest.raises(TrainingError, match=r"^settings: 'max_stepz' is no setting of dpo"):
        config_of("dpo", {"max_stepz": 3}, fixed(tmp_path), {})


@pytest.mark.parametrize("name", ["gradient_checkpointing", "activation_checkpointing"])
def test_checkpointing_is_taken_by_either_name(tmp_path: Path, name: str):
    config = made("sft", tmp_path, f"{name}: false\n")
    assert config.gradient_checkpointing is config.activation_checkpointing is False
    assert describe_settings(config)["activation_checkpointing"] is False


def test_the_example_is_taken_and_is_what_the_page_shows(tmp_path: Path):
    example = ROOT / "examples" / "training" / "sft.yaml"
    settings = read_settings(example)
    told = describe_settings(config_of("sft", settings, fixed(tmp_path), {}), fixed(tmp_path))
    assert told["learning_rate"] == 1e-4
    lora = settings.block("lora")
    assert lora is not None
    assert lora_settings(lora).dropout == 0.05
    page = (ROOT / "docs" / "training-settings.md").read_text("utf-8")
    (tmp_path / "page.yaml").write_text(page.partition("```yaml\n")[2].partition("```")[0])
    assert dict(read_settings(tmp_path / "page.yaml")) == dict(settings)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_settings_among_the_examples_are_taken_as_they_stand(tmp_path: Path, trainer: Trainer):
    settings = read_settings(ROOT / "examples" / "training" / f"{trainer}.yaml")
    config = config_of(trainer, settings, fixed(tmp_path), {})
    assert config.learning_rate == float(str(settings["learning_rate"]))
    assert config.logging_steps == settings["logging_steps"]
    lora = settings.block("lora")
    assert lora is not None
    assert lora_config(lora_settings(lora), trainer).lora_alpha == lora["alpha"]


def test_every_problem_has_a_line_of_its_own(tmp_path: Path):
    said = refusal("sft", tmp_path, "learnin_rate: 1\nmax_steps: ten\nseed: yes\n").splitlines()
    assert [line.partition("block.yaml:")[2] for line in said] == [
        "1: 'learnin_rate' is no setting of sft (SFTConfig). Did you mean 'learning_rate'?",
        "2: 'max_steps' is 'ten', where a whole number is wanted.",
        "3: 'seed' is True, where a whole number is wanted.",
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
        config_of("sft", read_settings(None, ["max_steps=ten"]), fixed(tmp_path), {})


@pytest.mark.parametrize(
    ("trainer", "text", "said"),
    [
        ("sft", "output_dir: x", "'output_dir' is set by cai itself. Use --out instead."),
        ("sft", "use_cpu: true", "'use_cpu' is set by cai itself. Leave it out."),
        ("sft", "lr_scheduler_type: cosin", "Did you mean 'cosine'?"),
        ("sft", "warmup_ratio: 0.1", "Did you mean 'warmup_steps'?"),
        ("sft", "parallelism_config: {a: 1}", "null is wanted"),
        ("dpo", "loss_type: [sigmoid, stf]", "discopop, sft, sigmoid_norm is wanted."),
        ("dpo", "f_divergence_type: kl", "one of reverse_kl, forward_kl"),
        ("kto", "loss_type: ktp", "one of kto, apo_zero_unpaired is wanted. Did you mean 'kto'?"),
        ("kto", "per_device_train_batch_size: 1", "It is 2 at the least."),
        ("grpo", "loss_type: ppo", "one of grpo, dr_grpo"),
        ("dpo", "label_smoothing: 0.1", "Smooth the labels with --label-smoothing."),
        ("dpo", "padding_free: true", "has no effect on DPO"),
        ("sft", "padding_free: true", "Set `packing: true` too"),
        ("sft", "assistant_only_loss: true", "the completion alone is trained on anyway"),
        ("sft", "push_to_hub: true", "Say which one with hub_model_id: OWNER/NAME."),
        ("sft", "fsdp: full_shard", "Use --launch fsdp instead."),
        ("sft", "load_best_model_at_end: true", "Set `eval_strategy: epoch` too."),
        ("sft", "per_device_train_batch_size: 0", "is 0. It is 1 at the least."),
        ("sft", "learning_rate: -1e-4", "is -0.0001. It is 0 at the least."),
        ("rloo", "num_generations: 1", "is 1. It is 2 at the least."),
    ],
)
def test_what_would_fail_late_or_do_nothing_is_refused_early(
    tmp_path: Path, trainer: Trainer, text: str, said: str
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
    tmp_path: Path, trainer: Trainer, text: str, said: str
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
    tmp_path: Path, trainer: Trainer, text: str
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


def of(values: Mapping[str, object], here: Machine) -> list[str]:
    return [name for name, _ in refused("sft", values, here)]


def test_half_precision_is_refused_where_the_device_has_none():
    old, new = Machine(has_gpu=True, has_bf16=False), Machine(has_gpu=True, has_bf16=True)
    assert of({"bf16": True}, ON_CPU) == ["bf16"]
    assert of({"bf16": True}, old) == ["bf16"]
    assert of({"bf16": True}, new) == []
    assert of({"fp16": True}, ON_CPU) == ["fp16"]
    assert of({"fp16": True}, old) == []
    assert of({"bf16": False, "fp16": None}, ON_CPU) == []


def test_a_cpu_that_is_asked_for_may_train_in_bfloat16(tmp_path: Path):
    assert of({"bf16": True, "use_cpu": True}, ON_CPU) == []
    assert describe_settings(made("sft", tmp_path, "bf16: true"), fixed(tmp_path)) == {}


@pytest.mark.parametrize("name", ["use_vllm", "use_liger_kernel", "deepspeed"])
def test_what_is_not_installed_is_said_before_anything_is_loaded(name: str):
    library = {"use_vllm": "vllm", "use_liger_kernel": "liger_kernel"}.get(name, name)
    try:
        __import__(library)
    except ImportError:
        assert of({name: True}, machine()) == [name]
    else:
        pytest.skip(f"{library} is installed")


def test_the_choices_that_are_ours_to_know_are_those_that_trl_names():
    """Its help texts name them; a new release that changes them is noticed here."""
    for trainer, name in (
        ("dpo", "loss_type"),
        ("dpo", "f_divergence_type"),
        ("grpo", "loss_type"),
        ("grpo", "importance_sampling_level"),
        ("grpo", "scale_rewards"),
        ("grpo", "multi_objective_aggregation"),
        ("rloo", "vllm_mode"),
    ):
        told = CONFIGS[trainer].__dataclass_fields__[name].metadata["help"]
        assert [one for one in choices(trainer, name, {}) if one not in told] == []


def test_the_ranges_are_of_fields_that_there_are_and_hold_trls_own_defaults():
    known = [field for config in CONFIGS.values() for field in config.__dataclass_fields__.values()]
    assert {*AT_LEAST, *ABOVE, *AT_MOST, *BELOW} <= {field.name for field in known}
    assert [
        list(out_of_range({field.name: field.default})) for field in known if field.default
    ] == [[] for field in known if field.default]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("max_steps", 0, "is 0, and would be no limit. It is 1 at the least, or -1 for none."),
        ("max_steps", -2, "is -2, and would be no limit. It is 1 at the least, or -1 for none."),
        ("save_steps", 0, "is 0. It is above 0."),
        ("temperature", 0.0, "is 0. It is above 0."),
        ("top_p", 1.5, "is 1.5. It is 1 at the most."),
        ("seed", 2**32, "is 4.29497e+09. It is 4294967295 at the most."),
        ("adam_beta2", 1, "is 1. It is below 1."),
    ],
)
def test_numbers_out_of_range_are_told_their_range(name: str, value: float, said: str):
    assert list(out_of_range({name: value})) == [(name, said)]


def test_numbers_in_their_range_are_silent():
    fine = {"max_steps": -1, "top_p": 1.0, "learning_rate": 0, "save_steps": 0.1, "beta": 0.0}
    assert list(out_of_range(fine)) == []
    assert list(out_of_range({"seed": True, "top_p": None})) == []


@pytest.mark.parametrize("name", ["lr_scheduler_kwargs", "model_init_kwargs"])
def test_text_is_no_mapping(tmp_path: Path, name: str):
    assert "'x', where a mapping is wanted." in refusal("sft", tmp_path, f"{name}: x")


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
