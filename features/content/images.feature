@W12
Feature: Images in a message

  Background:
    Given the server under test
    And a request
    And its "max_tokens" is 1

  @cap:images @MUST
  Rule: An image is part of the prompt
    "Vision": base64 images in image blocks; their size in tokens counts as input.

    @id:image-is-answered
    Scenario: A request with an image is answered
      Given its message contains an image of 64 by 64 pixels
      When it is sent
      Then the reply is a message

    @id:image-is-counted @cap:token-counting
    Scenario: An image adds tokens to the prompt
      Given another request whose message contains an image of 64 by 64 pixels
      When the tokens of both requests are counted
      Then the other request's count is larger

  @cap:errors @MUST
  Rule: An image that the model cannot see is refused, never dropped
    "Errors": 400 invalid_request_error. An answer about an image that the model never saw would be made up.

    @id:image-is-seen-or-refused
    Scenario: An image is either part of the prompt or refused
      Given its message contains an image of 64 by 64 pixels
      When it is sent
      Then it is answered, or refused as "invalid_request_error"
      And if it is refused, the error names "image"
      And if it is answered, its prompt is longer than without the image

    @id:image-that-is-none
    Scenario: Image data that is not an image is refused
      Given its "messages.0.content" is [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "bm8gaW1hZ2U="}}]
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "image"

    @id:image-out-of-reach
    Scenario: An image at an unreachable URL is refused
      RFC 6761, 6.4: names under .invalid never resolve.
      Given its "messages.0.content" is [{"type": "image", "source": {"type": "url", "url": "https://nowhere.invalid/a.png"}}]
      When it is sent
      Then it is refused as "invalid_request_error" with status 400

  @cap:errors @SHOULD
  Rule: An image is refused in the words that clients know
    Claude Code 2.1.328: after a 400 with "Could not process image" it removes the image and goes on; after any other, the image
    stays in the conversation and every later turn fails.

    @id:image-refusal-is-in-known-words
    Scenario: The refusal of an image starts with "Could not process image"
      Given its "messages.0.content" is [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "bm8gaW1hZ2U="}}]
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error starts with "Could not process image"

  @cap:messages @MUST
  Rule: An image in an older message does not end the conversation
    Clients send the whole conversation with every turn, and the user can no longer take the image back.

    @id:older-image-is-accepted
    Scenario: A conversation with an image in an older message is answered
      Given its "messages" is [{"role": "user", "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAADklEQVR4nGNogAIGyhgAgIQgAQ2AJGEAAAAASUVORK5CYII="}}, {"type": "text", "text": "What is it?"}]}, {"role": "assistant", "content": "A square."}, {"role": "user", "content": "Go on."}]
      When it is sent
      Then the reply is a message
