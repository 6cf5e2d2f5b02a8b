router {
  asn = 64500
  id  = "192.0.2.1"
}

policy "p" {
  rule "x" {
    match {
      not { rpki = "valid" }
    }
    then = "reject"
  }
}

originate "o" {
  prefixes = "192.0.2.0/24"
  policy   = policy.p
}

aggregate "a" {
  prefix = "192.0.0.0/16"
  policy = policy.p
}

table "main" { redistribute = policy.p }
