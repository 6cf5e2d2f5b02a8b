router "main" {
  asn = 64500
  id  = "192.0.2.1"
}

neighbor {
  address = "192.0.2.9"
  asn     = 64501
}

group "a" "b" {}

policy "" {
  rule { then = "accept" }
}

policy "p" {
  rule "same" { then = "continue" }
  rule "same" { then = "accept" }
}

neighbor "c" {
  address = "192.0.2.10"
  asn     = 64501
  family { max_prefixes = 10 }
  family "ipv5" {}
  family "ipv4" {}
  family "ipv4" {}
  family "ipv6" { hold_time = "90s" }
}
