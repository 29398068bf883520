"""The menu, spoken: generated from the questions where the agent file has none of its own."""

from model_worker.dialog.agent import Agent, Question, Spoken, Then


def menu_prompt(agent: Agent) -> Spoken:
    """The agent's own menu, or a sentence for each question: "Press 1 or say: opening hours."."""
    if agent.menu.prompt is not None:
        return agent.menu.prompt
    return " ".join(_choice(question) for question in agent.questions)


def confirmation(agent: Agent, question: Question) -> tuple[Spoken, ...]:
    """The yes/no question before an answer, with how to answer it."""
    assert question.confirm is not None, "only a question with a confirmation is confirmed"
    return question.confirm, agent.confirm_hint


def closing(agent: Agent, then: Then) -> tuple[Spoken, ...]:
    """What is said after an answer."""
    match then:
        case Then.MENU:
            return (agent.anything_else,)
        case Then.HANGUP:
            return (agent.goodbye.say,)
        case Then.TRANSFER:
            assert agent.transfer is not None, "the agent file was checked for it"
            return (agent.transfer.say,)
        case Then.VOICEMAIL:
            return (agent.voicemail.say,)


def _choice(question: Question) -> str:
    return f"Press {question.key} or say: {question.examples[0].rstrip('.?!')}."
