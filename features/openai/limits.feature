@cap:openai @W6
Feature: Chats and the context window

  @MUST
  Rule: A max_tokens beyond the window is accepted, or refused without the code of a conversation that is too long
    "Error codes": clients shorten the conversation when they read context_length_exceeded. When only max_tokens is too large that
    does not help, and opencode repeats it forever.

    @id:openai-answer-over-the-window
    Scenario Outline: A chat whose <field> is far beyond any window is answered, or refused without context_length_exceeded
      Given the server under test, called by an OpenAI client
      And a chat request
      And the chat has no "max_tokens"
      And the chat's "<field>" is 1000000000
      And the chat's "stop" is ["a", "e", " ", "."]
      When the chat is sent
      Then it is answered, or refused with another code than "context_length_exceeded"

      Examples:
        | field                 |
        | max_tokens            |
        | max_completion_tokens |

  @SHOULD
  Rule: Without a limit, an answer may use what the window leaves
    API reference, max_completion_tokens: an upper bound, and optional. Clients that omit it expect the whole answer.

    @id:openai-answer-without-a-limit
    Scenario: A chat without max_tokens is answered with five thousand words
      Given a server that plays the script, called by an OpenAI client
      And a chat request
      And the chat has no "max_tokens"
      And the chat's "messages" is [{"role": "user", "content": "Write five thousand words."}]
      When the chat is sent
      Then the chat's finish reason is "stop"
      And its usage adds up, with 5000 to 8000 completion tokens

    @id:openai-answer-that-fills-the-window
    Scenario: A chat's answer that fills the window has the finish reason length
      Given a server that plays the script, called by an OpenAI client
      And a chat request
      And the chat has no "max_tokens"
      And the chat's "messages" is [{"role": "user", "content": "Write nine thousand words."}]
      When the chat is sent
      Then the chat's finish reason is "length"
      And its usage adds up, with 4097 to 8192 completion tokens
