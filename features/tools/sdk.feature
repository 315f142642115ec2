@cap:tools @W14 @MUST
Feature: The official SDK's tools

  Background:
    Given the server under test
    And the official SDK, with strict validation

  Rule: The SDK reads calls, streamed and not
    The SDK: messages.create, and messages.stream, which joins the deltas and parses them as they come.

    @id:sdk-reads-a-call
    Scenario: It has the call of a reply
      When the SDK makes the model call a tool
      Then the SDK has a call that keeps to its tool's schema

    @id:sdk-reads-a-streamed-call @cap:streaming @W11
    Scenario: It has the same call from a stream
      When the SDK makes the model call a tool
      And the SDK streams the same call
      Then the SDK's two messages say the same

  Rule: The SDK's tool runner runs to the end
    The SDK: client.beta.messages.tool_runner calls functions and sends their results back, until the model calls no more.

    @id:sdk-tool-runner-ends
    Scenario: It calls the function with the model's input, and ends with the model's words
      Given a server that plays the script
      When the SDK's tool runner is asked "How is the weather?"
      Then its function was called with {"city": "Oslo", "days": 2}
      And it ended with text

    @id:sdk-tool-runner-calls
    Scenario: With a call that is forced, the function gets input of its schema
      When the SDK's tool runner has two turns, and a call is forced
      Then its function was called with input of its schema
