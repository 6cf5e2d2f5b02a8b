asn = 64500
neighbor = "a"

router {
  asn       = 64500
  id        = "192.0.2.1"
  router_id = "192.0.2.1"
  kernal    = false
}

neighbour "a" {
  address = "192.0.2.9"
}

neighbor "b" {
  adress    = "192.0.2.9"
  remote_as = 64501
  family    = "ipv4"
  hold_time { seconds = 90 }
  match {}
}

policy "p" {
  default = "accept"
  rule "r" {
    match {
      as_path_contain = [64500]
      prefixes        = "192.0.2.0/24"
    }
    set { localpref = 200 }
    then = "acept"
  }
  term "x" {}
}

prefix_set "s" { prefix = ["192.0.2.0/24"] }

plugin "x" {}
