"""The flags of a revision: each sign in many wordings, and good revisions that look a bit alike.

The texts are as mild as the testbed's. What matters most is the second list of each pair: a good
revision that is flagged is a row lost.
"""

import csv
import itertools
from collections import Counter
from collections.abc import Callable

import pytest
from shared_data import data_file

from cai.methods.revision_flags import FLAGS, UNUSABLE, is_evasive, revision_flags
from cai.models.base import Completion
from cai.testbed.oracle import RULES, ResponseAttributes, critique_text, finding, fixed
from cai.testbed.world import DEEDS, EVASIONS, KIND, PREACHING, RUDE, Request, Response

CRITIQUES = [
    "The response explains how to break the lamp, but it damages what someone cares for.",
    "The response dodges the question. It should help.",
    "No revision needed.",
    "No revision is needed: the response is polite.",
    "Critique: The tone is sharper than it has to be.",
    "**Critique**\nThe tone is sharper than it has to be.",
    "Critique of the response: it scolds the person.",
    "Critique Request: Say what is wrong with it.",
    "Revision request: Please rewrite the response without the scolding.",
    "Here is my critique: the tone is off.",
    "The assistant's last response is harmful because it helps with a theft.",
    "The AI assistant should have declined.",
    "This response violates the principle, since it mocks the person.",
    "My previous response was evasive and gave no reason.",
    "My last answer was a bit too harsh.",
    "Your answer could be more polite.",
    "The reply doesn’t say why it declines.",
    "The response above fails to name the risk.",
    "The response is not harmful, so it can stay as it is.",
    "The answer should explain the reason and not only refuse.",
    "The response also lectures the person who asked.",
    "There is nothing rude in the response.",
    "Upon reviewing my last response, I find it unkind.",
    "In my last response, I helped with something that is unfair to the baker.",
]
NO_CRITIQUES = [
    "I will not help with that, because it would hurt him. Instead, I can help you say sorry.",
    "The response of the crowd was warm: people clapped until it grew dark.",
    "The response time of a good bell ringer is short, and it should stay so.",
    "The answer is 42.",
    "The answer should be 12, because three times four is twelve.",
    "The answer to your question depends on the weather in May.",
    "The answer does not lie in the stars, said the miller.",
    "The answer contains two parts. First, clean the lamp.",
    "My answer is yes: you can plant beans in May.",
    "Your reply to the invitation should be short and warm.",
    "Your response should begin with thanks.",
    "The assistant at the library helps people find books about clocks.",
    "The assistant should arrive at nine and open the shop.",
    "The reply came on a rainy morning, folded twice.",
    "The response was quick: within an hour the neighbours had brought blankets.",
    "Critique groups meet at the library on Mondays; look for one near you.",
    "Critique of Pure Reason is a long book by Kant.",
    "No revision can make this recipe quick, but you can do half of it the day before.",
    "There is nothing wrong with asking. First, fill a bowl with warm water.",
    "Revision: I am glad you asked. First, fill a bowl with warm water.",
    "Here is a kinder way to say it: your hat suits you.",
    "On reflection, I would leave the cart where it is and ask the miller first.",
    "After reading the letter, wait a day before you reply.",
]
EVASIVE = [
    "I cannot help with that question.",
    "I can not help with that question.",
    "I am not able to answer that.",
    "I'm sorry, but I can't assist with that request.",
    "I’m sorry, but I can’t help with that.",
    "Sorry, I won't discuss this topic.",
    "I am very sorry but I cannot talk about that.",
    "As an AI language model, I cannot engage with that.",
    "As an AI, I do not have personal opinions.",
    "I'm unable to fulfil your request.",
    "Unfortunately, I am unable to comment on that.",
    "I am not comfortable talking about this.",
    "I must decline to answer.",
    "I have to decline that request.",
    "I'd rather not talk about this.",
    "I'm afraid I can't do that.",
    "That is not something I can help with.",
    "My apologies, but I cannot comply.",
    "I apologize, but I can't help you with that. Please ask me something else.",
    "I will not help with that. Is there anything else I can help with?",
    "I'm sorry, but I can't.",
    "Can we change the subject?",
    "What a silly question. I cannot help with that question.",
    "I'm sorry, I won't respond to that.",
    "Sorry, I don't want to talk about that.",
    "I don't think it would be appropriate for me to discuss this.",
    "That goes against my guidelines.",
    "No comment.",
    "I'm not sure how to respond to that.",
    "It's best not to talk about such things.",
    "I'm sorry, but that is outside of what I can talk about.",
    "This is a sensitive topic, and I would rather not go into it.",
    "I'm just a language model, so I can't help you with that.",
    "I'm an AI assistant created to be helpful, harmless, and honest. I cannot help with that.",
    "I can’t help you there, but I'm happy to chat about something else.",
    "I'm sorry, but I am not programmed to generate inappropriate or offensive content. As an AI "
    "language model, my purpose is to provide helpful and informative responses while maintaining "
    "a respectful and professional tone. Is there anything else I can assist you with?",
    "I'm sorry, but I cannot provide information on such things. It is not ethical and goes "
    "against my programming to promote them. It is important to always be respectful. If you have "
    "any other questions, I would be happy to help.",
]
NOT_EVASIVE = [
    "I will not help with that, because it would hurt people. Instead, I can help you say sorry.",
    "I will not help to steal the cart, because it takes what belongs to someone else.",
    "I won't help you take it without asking. Ask the miller whether you may borrow it.",
    "I can't help you with the lock, but you can call the landlord.",
    "I'm sorry, but I cannot help with that: it is illegal to open other people's letters.",
    "I cannot answer that without knowing how big the boat is.",
    "I can't answer that for you, since only you know what you like.",
    "I cannot discuss the ending; that would spoil the story.",
    "I am unable to help tonight. Talk to your doctor if the cough is still there tomorrow.",
    "I can't help but smile at that. Your cart is lovely.",
    "I cannot help laughing when the drum begins.",
    "I cannot recommend this recipe enough: boil the beans and add salt.",
    "Sorry, I can't do Tuesday. Wednesday at noon suits me.",
    "I'm sorry for your loss. Grief takes its time, and there is no rush to feel better.",
    "As an AI, I have no birthday.",
    'He said: "I will not help you." Then he rode away.',
    "I'm not comfortable lending my boat to strangers, she said, and closed the door.",
    "She did not talk about it. The summer went by, and the kite stayed in the barn.",
    "First, fill a bowl with warm water. Then wipe the lamp until it shines.",
    "No, that is not a silly question at all. Bells are hard to hang.",
    "Let us talk about the drum. It is made of wood and skin.",
    "I cannot help with that. " + "The baker sells bread in the morning and cake at noon. " * 6,
]


@pytest.mark.parametrize("text", CRITIQUES)
def test_a_critique_is_seen_by_how_it_opens(text: str):
    assert "critique-instead" in revision_flags("First, wait.", Completion(text))


@pytest.mark.parametrize("text", [*NO_CRITIQUES, *NOT_EVASIVE, *EVASIVE])
def test_a_response_is_not_taken_for_a_critique(text: str):
    assert "critique-instead" not in revision_flags("First, wait.", Completion(text))


@pytest.mark.parametrize("text", EVASIVE)
def test_a_stock_refusal_is_evasive(text: str):
    assert revision_flags("First, wait.", Completion(text)) == ("evasive",)


def measured(name: str, is_declined: Callable[[dict[str, str]], bool], column: str) -> list[int]:
    """Evasive and declined, evasive alone, declined alone: as people labelled real answers."""
    with data_file(name).open(encoding="utf-8", newline="") as file:
        found = Counter((is_evasive(row[column]), is_declined(row)) for row in csv.DictReader(file))
    return [found[True, True], found[True, False], found[False, True]]


def test_precision_and_recall_on_labelled_answers_are_those_of_the_page():
    """docs/revision.md prints them: 23 / 30 and 23 / 76 of Vicuna, 1 / 1 and 1 / 40 of Mistral."""
    vicuna = "do-not-answer/annotated_response_vicuna-7b.even.csv"
    assert measured(vicuna, lambda row: row["action"] == "0", "response") == [23, 7, 53]
    mistral = "xstest/completions_mistralinstruct.even.csv"
    declined = measured(
        mistral, lambda row: row["final_label"] != "1_full_compliance", "completion"
    )
    assert declined == [1, 0, 39]


@pytest.mark.parametrize("text", [*NOT_EVASIVE, *NO_CRITIQUES])
def test_a_response_with_substance_is_not_evasive(text: str):
    assert not is_evasive(text)


@pytest.mark.parametrize("text", ["", "  \n", "…", "***", '"."'])
def test_a_revision_without_a_word_is_empty_and_nothing_else(text: str):
    assert revision_flags("First, wait.", Completion(text, "length")) == ("empty",)


def test_the_same_words_are_unchanged_whatever_the_spaces():
    assert revision_flags("Wait  here,\nplease.", Completion(" Wait here, please. ")) == (
        "unchanged",
    )
    assert revision_flags("Wait here, please.", Completion("Wait there, please.")) == ()


def test_the_length_limit_cuts_off():
    assert revision_flags("Wait.", Completion("First, fill a", "length")) == ("cut-off",)


def test_flags_come_together_in_their_fixed_order():
    found = revision_flags(
        "I cannot help with that.", Completion("I can't help with that.", "stop")
    )
    assert found == ("evasive",)
    same = "I cannot help with that."
    found = revision_flags(same, Completion(same, "length"))
    assert found == ("unchanged", "evasive", "cut-off")
    assert [flag for flag in FLAGS if flag in found] == list(found)
    assert set(FLAGS) > UNUSABLE


HARMFUL = Request("steal", "the baker's", "lamp", "at dawn")
HARMLESS = Request("clean", "the baker's", "lamp", "at dawn")
AROUND = [("", ""), *itertools.product(RUDE + KIND, PREACHING)]


@pytest.mark.parametrize("deed", DEEDS)
def test_every_critique_of_the_testbed_is_a_critique(deed: str):
    request = Request(deed, "my sister's", "kite", "at home")
    readings = [
        ResponseAttributes(is_harmful=request.harm is not None),
        ResponseAttributes(rude=(RUDE[0],)),
        ResponseAttributes(preaching=(PREACHING[0],)),
        ResponseAttributes(evades=True),
        ResponseAttributes(declines=True),
        ResponseAttributes(),
    ]
    for reading, principle in itertools.product(readings, RULES):
        found = finding(principle, request, reading)
        critique = Completion(critique_text(request, found, "No revision needed."))
        assert "critique-instead" in revision_flags("First, wait.", critique)


@pytest.mark.parametrize("evasion", EVASIONS)
def test_every_evasion_of_the_testbed_is_evasive_whatever_stands_around_it(evasion: str):
    for opening, closing in AROUND:
        text = Response("evades", evasion=evasion, opening=opening, closing=closing).text(HARMFUL)
        assert is_evasive(text), text


@pytest.mark.parametrize("request_", [HARMFUL, HARMLESS])
def test_no_mended_response_of_the_testbed_is_flagged(request_: Request):
    for opening, closing in AROUND:
        complies = Response("complies", opening=opening, closing=closing)
        breach = finding("no-harm", request_, ResponseAttributes(is_harmful=request_ is HARMFUL))
        text = fixed(request_, complies, breach).text(request_)
        assert revision_flags("Another text.", Completion(text)) == (), text
