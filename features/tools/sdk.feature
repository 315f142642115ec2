@cap:tools @W14 @MUST
Feature: Tools in the official SDK

  Background:
    Given the server under test
    And the official SDK, with strict validation

  Rule: The SDK reads calls, streamed and not
    The SDK: messages.create, and messages.stream, which joins the deltas and parses them as they arrive.

    @id:sdk-reads-a-call
    Scenario: The official SDK returns a forced call
      When the SDK forces a tool call
      Then the SDK returns a call that matches its tool's schema

    @id:sdk-reads-a-streamed-call @cap:streaming @W11
    Scenario: The official SDK returns the same call from a stream
      When the SDK forces a tool call
      And the SDK streams the same call
      Then the SDK's two messages match

  Rule: The SDK's tool runner runs to completion
    The SDK: client.beta.messages.tool_runner calls functions and sends their results back until the model stops calling them.

    @id:sdk-tool-runner-ends
    Scenario: The SDK's tool runner calls the function with the model's input and ends with the model's text
      Given a server that plays the script
      When the SDK's tool runner is given "How is the weather?"
      Then its function was called with {"city": "Oslo", "days": 2}
      And it ended with a text answer

    @id:sdk-tool-runner-calls
    Scenario: With a forced call, the SDK's tool runner passes the function input that matches its schema
      When the SDK's tool runner runs two turns with a forced call
      Then its function was called with input that matches its schema
