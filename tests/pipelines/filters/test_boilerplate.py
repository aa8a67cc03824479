import pytest

from pipelines.filters.boilerplate import is_boilerplate, is_bot


@pytest.mark.parametrize(
    "text",
    [
        "Your submission has been removed for the following reason",
        "Hi there, your post was automatically removed because it has no flair.",
        "**Your comment has been removed.**",
        "This post has been locked by the moderators.",
        "this thread was removed as off-topic",
        "The question was closed as off-topic",
        "THIS COMMENT HAS BEEN OVERWRITTEN by a script",
        "(c) Example Ltd, all rights reserved",
        "© 2020 Example. All rights reserved",
        "Like, comment and subscribe",
        "Click here to unsubscribe",
        "You need to sign in to reply",
        "Log in to comment",
        "Hello, your link was removed by a moderator",
        "Greetings! Your question has been closed.",
        "[deleted]",
        "[removed by moderator]",
        "deleted  ^^^^^^^0.1234",
        "Thanks for your submission! Unfortunately, it has been removed",
        "We use cookies to give you the best experience.",
        "By continuing to use this site you agree to our use of cookies",
        "Please enable JavaScript to view the comments",
        "Sign up for our weekly newsletter",
        "Don't forget to like and subscribe!",
        "You must be logged in to post a comment.",
        "Please sign in or register to vote",
        "Copyright 2020 Example Ltd. All rights reserved.",
        "I am a bot, and this action was performed automatically.",
        "^I ^am ^a ^bot.",
        "Here is your link.\n\n*I'm a bot*",
        "Beep boop, I'm a bot!",
        "Too short. This action was performed automatically.",
    ],
)
def test_notices_are_boilerplate(text):
    assert is_boilerplate(text)


@pytest.mark.parametrize(
    "text",
    [
        "Your submission to the journal was great",
        "Why was my post removed?",
        "I asked why your comment has been removed",
        "This post was removed from the fence with a crowbar",
        "The link was closed for repairs in March",
        "They deleted it, then removed the rest",
        "Thank you for your question. Unfortunately there is no such filter.",
        "Thank you for your comment, it made my day",
        "We use butter in our cookies",
        "By using less sugar she makes better biscuits",
        "Can I enable JavaScript per site?",
        "I subscribe to the theory that less is more",
        "You must be joking to post that",
        "Do you think I am a bot?",
        "I am a bottle collector.",
        "My mother is a robot and I love her",
        "The door closes automatically. This action is safe.",
        "The author of this text reserved all rights in 1999",
    ],
)
def test_talk_about_such_things_is_not_boilerplate(text):
    assert not is_boilerplate(text)


@pytest.mark.parametrize(
    "author",
    [
        "AutoModerator",
        "autotldr",
        "RemindMeBot",
        "tweet_bot",
        "haiku-bot",
        "sneakypeekbot",
        "HAIKUBOT",
        "HeroBot",
        "news-ModTeam",
        "Bot",
    ],
)
def test_names_of_bots(author):
    assert is_bot(author, "some text")


@pytest.mark.parametrize(
    "author",
    [
        "",
        "Abbot",
        "MrRobot",
        "mrrobot",
        "TobyTheRobot",
        "not_a_bot",
        "NotABot",
        "definitely-not-a-bot",
        "IAmABot",
        "bottle",
        "robot99",
        "botanist",
        "Talbot",
        "MarieCabot",
        "[deleted]",
        "editor",
    ],
)
def test_names_of_people(author):
    assert not is_bot(author, "some text")


def test_who_says_it_is_a_bot_is_one():
    assert is_bot("someone", "Fixed your link.\n\n^(I'm a bot. Bleep bloop.)")
    assert not is_bot("someone", "am I talking to a bot?")
