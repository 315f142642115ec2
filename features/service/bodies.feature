@cap:errors @W18
Feature: Request bodies
  How a body travels must not change what its client learns.

  @SHOULD
  Rule: A compressed body is read, or refused by its content-encoding
    RFC 9110, 15.5.16: a server that does not support a content coding answers 415, and says so. The SDKs and proxies that compress
    long prompts can then send them plain; "invalid JSON" would mislead them.

    @id:gzip-is-read-or-refused
    Scenario: A gzip body is answered, or refused by its content-encoding
      Given the server under test
      And a request
      When it is sent with gzip
      Then it is answered, or refused as naming "content-encoding"

  @SHOULD
  Rule: A refusal reaches a client that is still sending
    RFC 9112, 9.6: a server that closes a connection at once, while data still arrives, resets it, and the client may lose the
    answer. Clients take that for a network failure and send everything again.

    @id:refusal-while-sending @cap:auth @W19
    Scenario: A client that is refused while it sends its body reads the refusal
      Given a server that requires a key
      And a request
      When it is sent without a key, in parts
      Then it is refused as "authentication_error" with status 401
