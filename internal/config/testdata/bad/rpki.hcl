router {
  asn = 64500
  id  = "192.0.2.1"
}

rpki "nothing" {}

rpki "both" {
  address = "192.0.2.10"
  file    = "vrps.json"
}

rpki "file" {
  file    = "vrps.json"
  port    = 323
  refresh = "1h"
}

rpki "cache" {
  address       = "192.0.2.10"
  local_address = "2001:db8::1"
  expire        = "1m"
}

policy "p" {
  rule "x" {
    match { rpki = "vaild" }
    then = "reject"
  }
}
