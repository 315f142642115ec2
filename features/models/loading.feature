@cap:model-loading @S1
Feature: Loading and unloading models
  llama-server's router, "POST /models/load" and "POST /models/unload": the body names the model. Whether the server answers
  at once or when it is done is its own choice.

  Background:
    Given the server under test

  @MUST
  Rule: An unknown model is neither loaded nor unloaded
    llama-server's router: a model that is not in its list is refused.

    @id:unknown-model-is-not-loaded
    Scenario Outline: <action> of an unknown model is refused by its name
      When the client calls "POST /models/<action>" for the model "no-such-model-as-this"
      Then it is refused with a status from 400 to 499
      And the refusal names "no-such-model-as-this"

      Examples:
        | action |
        | load   |
        | unload |

  @MUST
  Rule: A model that is loaded answers, and unloading leaves running answers whole
    "Streaming Messages": a stream ends with message_stop, or with an error that is the server's own fault. This one is not.

    @id:loaded-model-answers
    Scenario: A listed model is loaded on request and answers
      Given a request
      When the model under test is loaded
      And it is sent
      Then the reply is a message

    @id:unloading-leaves-streams-whole @cap:streaming
    Scenario: A stream that runs while its model is to be unloaded ends as it would have
      Given a request
      When its model is to be unloaded while its stream runs
      Then the stream ends whole
      And the model answers afterwards
