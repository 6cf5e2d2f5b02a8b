router {
  asn = 64500
  id  = "192.0.2.1"
}

policy "p" {
  rule "bad values" {
    match {
      prefix_length  = "24-8"
      as_path_length = "long"
      med            = 1.5
      local_pref     = ["100-200", 4294967296]
      source         = ["customers", "ibgp"]
      origin         = "IGP"
      family         = []
      next_hop       = "192.0.2"
      community_all  = [64500]
      not {}
    }
    set {
      local_pref          = "200"
      med                 = "less"
      add_communities     = ["64500:*", "64500:1"]
      replace_communities = [community_set.c, "64500:1"]
      prepend             = 100
      next_hop            = ["192.0.2.1", "192.0.2.2"]
      origin              = 0
      weight              = "10"
    }
    set {}
    then = accept
  }
  rule "more" {
    set {
      local_pref      = "none"
      prepend_asn     = 64500
      add_communities = community_set.wild
      next_hop        = "auto"
    }
    then = "continue"
  }
}

community_set "c" { communities = ["64500:2"] }
community_set "wild" { communities = ["64500:*"] }

policy "late" {
  rule "all" {
    match {}
    then = "accept"
  }
  rule "never" { then = "reject" }
}

policy "asks" {
  rule "slots" {
    match {
      prefix         = neighbor.prefixes
      as_path_origin = neighbor.origin_asns
    }
    then = "accept"
  }
}

policy "drops" {
  rule "all" {
    set { next_hop = "discard" }
    then = "accept"
  }
}

originate "o" {
  prefixes = ["203.0.113.0/24"]
  policy   = policy.drops
}

neighbor "b" {
  address  = "192.0.2.10"
  asn      = 64501
  families = ["ipv4", "ipv6"]
  import   = policy.drops
  export   = policy.drops
}

neighbor "a" {
  address = "192.0.2.9"
  asn     = 64500
  import  = [policy.late, policy.p]
  export  = policy.asks
}
