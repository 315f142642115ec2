@cap:auth @W19
Feature: Several keys
  A server may give each of its clients a key of its own. Judged with --api-key and --second-api-key.

  Background:
    Given a server that accepts two keys

  @MUST
  Rule: Each key is accepted in either header, and no other key is
    "API overview", authentication: the key goes into x-api-key; the SDKs send an auth token as Authorization: Bearer.

    @id:second-key-is-accepted
    Scenario Outline: The <which> key in <header> is accepted
      Given a request
      When it is sent with the <which> key in "<header>"
      Then the reply is a message

      Examples:
        | which  | header                   |
        | first  | x-api-key: {}            |
        | first  | Authorization: Bearer {} |
        | second | x-api-key: {}            |
        | second | Authorization: Bearer {} |

    @id:key-of-no-client
    Scenario Outline: An unknown key in <header> is refused where several keys are known
      Given a request
      When it is sent without a key, with the header "<header>"
      Then it is refused as "authentication_error" with status 401

      Examples:
        | header                      |
        | x-api-key: unknown          |
        | Authorization: Bearer other |

  @SHOULD
  Rule: Usage never shows what the requests of another key have computed
    "Prompt caching", cache storage and sharing: organisations never share caches, even for identical prompts. Otherwise the
    tokens read from the cache would confirm a guess of another client's prompt.

    @id:second-key-reads-nothing-of-the-first @slow @cap:prompt-cache @C2 @W17
    Scenario Outline: A prompt of the first key is not read from the cache by the second key <how>
      Given a request with a unique long system prompt, marked for caching
      When it is sent
      And it is <how> with the second key
      Then at most 10 percent of that prompt was read from the cache

      Examples:
        | how      |
        | sent     |
        | streamed |

    @id:second-key-names-the-user-of-the-first @slow @cap:prompt-cache @C2 @W17
    Scenario: The user_id of the first key's request opens nothing to the second key
      "metadata.user_id" is the client's to choose.
      Given a request with a unique long system prompt, marked for caching
      And it names the user "the-same-user"
      When it is sent
      And it is sent with the second key
      Then at most 10 percent of that prompt was read from the cache

    @id:second-key-has-a-cache @slow @cap:prompt-cache @C2 @W17
    Scenario: The second key reads its own prompts from the cache
      Given a request with a unique long system prompt, marked for caching
      When it is sent with the second key
      And it is sent with the second key
      Then at least 90 percent of that prompt was read from the cache
