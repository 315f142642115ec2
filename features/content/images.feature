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
    Scenario: An image is answered
      Given its message holds an image of 64 by 64 pixels
      When it is sent
      Then the reply is a message

    @id:image-is-counted @cap:token-counting
    Scenario: An image has tokens
      Given another whose message holds an image of 64 by 64 pixels
      When the tokens of both are counted
      Then the other's count is larger

  @cap:errors @MUST
  Rule: An image that is not seen is refused, and never passed over
    "Errors": 400 invalid_request_error. An answer about an image that the model was never given would be a lie.

    @id:image-is-seen-or-refused
    Scenario: A server without sight says that it has none
      Given its message holds an image of 64 by 64 pixels
      When it is sent
      Then it is answered, or refused as "invalid_request_error"
      And if it is refused, the error names "image"
      And if it is answered, its prompt is longer than without the image

    @id:image-that-is-none
    Scenario: Bytes that are no image are refused
      Given its "messages.0.content" is [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "bm8gaW1hZ2U="}}]
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "image"

    @id:image-out-of-reach
    Scenario: An image at an address where nothing is cannot be passed over
      RFC 6761, 6.4: no name under .invalid leads anywhere.
      Given its "messages.0.content" is [{"type": "image", "source": {"type": "url", "url": "https://nowhere.invalid/a.png"}}]
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
