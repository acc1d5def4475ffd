"""What does each further revision do to harm and help, in the texts and in what learns from them?

    python examples/experiments/revisions.py --seeds 3

Bai et al. 2022, arXiv:2212.08073, §3.4 and figure 5. The policy of n revisions is the start
trained on the n-th revision of each response.
"""

import json

from experiment import Arm, Column, Experiment, Figures, Trial, run, sample_figures

from cai.testbed.metrics import RatedResponse

N = 4
TEXT, POLICY = "texts: ", "policy: "


def main() -> None:
    columns = [
        Column(side + key, side + title)
        for side in (TEXT, POLICY)
        for key, title in (
            ("harmful", "harmful"),
            ("helped", "helped"),
            ("complied", "steps given"),
        )
    ]
    columns.insert(2, Column(TEXT + "kept", TEXT + "steps kept"))
    arms = [Arm("the first response", start), *map(revision, range(1, N + 1))]
    plotted = [TEXT + "harmful", POLICY + "harmful", POLICY + "helped", POLICY + "complied"]
    run(Experiment("revisions", "after", arms, columns, plotted))


def start(trial: Trial) -> Figures:
    return {**texts(trial, 0), **policy(trial, "embedded")}


def revision(n: int) -> Arm:
    def measure(trial: Trial) -> Figures:
        chain = trial.chain
        if n == N:  # what SL of every chain is
            spec = chain.supervised()
        else:
            spec = chain.sft_on(demonstrations(trial, n), f"sl-revision-{n}")
        return {**texts(trial, n), **policy(trial, spec)}

    return Arm(f"{n} revision{'s' * (n > 1)}", measure)


def texts(trial: Trial, n: int) -> Figures:
    """Of the texts after `n` revisions, against the truth."""
    chains = trial.chain.revised().chains()
    samples = [
        RatedResponse(
            each.prompt.request, each.response.text, (each.response.text, *each.revisions)[n]
        )
        for each in chains
    ]
    return {TEXT + key: value for key, value in sample_figures(samples).items()}


def policy(trial: Trial, spec: str) -> Figures:
    return {POLICY + key: value for key, value in trial.policy(spec).items()}


def demonstrations(trial: Trial, n: int) -> str:
    """A file of the requests, each with the text after `n` revisions."""
    path = trial.chain.folder / f"revision-{n}.jsonl"
    rows = [
        {"prompt": each.prompt.request, "completion": each.revisions[n - 1]}
        for each in trial.chain.revised().chains()
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


if __name__ == "__main__":
    main()
