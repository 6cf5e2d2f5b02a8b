router {
  asn = 64500
  id  = "192.0.2.1"
}

policy "p" {
  rule "x" {
    match {
      not { aspa = "valid" }
    }
    then = "reject"
  }
}

originate "o" {
  prefixes = "192.0.2.0/24"
  policy   = policy.p
}

table "main" {
  install = policy.p
}

neighbor "no-role" {
  address = "192.0.2.9"
  asn     = 64501
  import  = policy.p
  export  = policy.p
}

neighbor "inside" {
  address = "192.0.2.10"
  asn     = 64500
  import  = policy.p
}

neighbor "transit" {
  address    = "192.0.2.11"
  asn        = 64502
  local_role = "customer"
  import     = policy.p
  export     = policy.p
}
