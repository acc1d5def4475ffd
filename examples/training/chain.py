"""From a constitution to a policy: revise, SFT, sample, judge, reward model, GRPO.

On the embedded model, at sizes that take half a minute and teach little. It needs the extra
`train`. For models and prompts of your own, change the first lines and leave `FEW` out.
"""

from pathlib import Path

import cai

PROMPTS = Path(__file__).parent.parent / "prompts.jsonl"
OUT = Path("runs/chain")
START = "embedded"
FEW = {"max_steps": 3, "per_device_train_batch_size": 4, "save_strategy": "no"}


def plan(name: str, model: str, **settings: object) -> cai.TrainPlan:
    """Into its folder, from that model; the same call again goes on, or finds it done."""
    out = OUT / name
    return cai.TrainPlan(model, out, {**FEW, **settings}, resumes=out.exists())


constitution, model = cai.load_constitution("testbed"), cai.open_model(START)

revised = cai.Run(OUT / "revised")
revised.revise(PROMPTS, model=model, constitution=constitution, is_quiet=True)
demonstrations = cai.load_training_data(revised.path, "sft")
supervised = cai.train("sft", demonstrations, plan("sft", START))
policy = f"hf:{supervised.folder.path}"

samples, judged = cai.Run(OUT / "samples"), cai.Run(OUT / "judged")
samples.sample(PROMPTS, model=cai.open_model(policy), k=2, is_quiet=True)
judged.judge(samples, model=model, constitution=constitution, is_quiet=True)
pairs = cai.load_training_data(judged.path, "preference", selection=cai.Selection(pairs="all"))
reward = cai.train("reward", pairs, plan("reward", policy), labels=cai.LabelPlan("soft"))

prompts = cai.load_training_data(PROMPTS, "prompts", eval_share=0)
choice = cai.RewardSpec(trained=(cai.ModelRewardSpec(str(reward.folder.path)),))
settings = {"num_generations": 4, "max_completion_length": 32}
trained = cai.train("grpo", prompts, plan("grpo", policy, **settings), rewards=choice)

print(f"{trained.figures['steps']} steps; the policy is hf:{trained.folder.path}")
