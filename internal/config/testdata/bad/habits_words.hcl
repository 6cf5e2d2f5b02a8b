router {
  asn = 64500
  id  = "192.0.2.1"
}

peer "p" {}

neighbor "a" {
  address   = "192.0.2.9"
  remote-as = 64501
  local_as  = 64502
  in        = policy.p
  password  = "secret"
  peer      = true
}

neighbor "b" {
  address = "192.0.2.10"
  asn     = AS64501
}

neighbor "c" {
  address = "192.0.2.11"
  asn     = "1.10"
}

policy "p" {
  term "t" {}
  rule "r" {
    if { prefix = "10.0.0.0/8 upto 24" }
    action = "deny"
    then   = "permit"
  }
}
