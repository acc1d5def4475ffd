"""Degeneration of a policy while it is trained: figures, rules that warn or stop, penalties.

Bai et al. 2022, arXiv:2212.08073, §4.3, saw over-trained policies become harsh, or put the same
comforting phrase into most answers. Here each sign of that kind is a figure, logged at every step
where texts are at hand, and a rule may end the run.
"""
