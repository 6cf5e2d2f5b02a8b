# An exchange: all are filtered, and some new ones are not.

router {
  asn    = 64500
  id     = "192.0.2.1"
  kernel = false
}

policy "from-peer" {
  rule "bogons" {
    match { prefix = [prefix_set.builtin-bogons, prefix_set.builtin-bad-lengths, "0.0.0.0/0", "::/0"] }
    match { as_path_contains = as_set.builtin-bogon-asns }
    then = "reject"
  }
  rule "rest" { then = "accept" }
}

policy "strict" {
  rule "one of them" {
    match { prefix = "193.0.0.0/21" }
    then = "accept"
  }
}

policy "everything" {
  rule "for a test" { then = "accept" }
}

policy "ours" {
  rule "ours" {
    match { source = ["originated", "customer"] }
    then = "accept"
  }
}

group "ix" {
  local_role    = "peer"
  password_file = "ix.key"
  import        = policy.from-peer
  export        = policy.ours
  max_prefixes  = 1000
}

neighbor "peer-2" {
  group   = group.ix
  address = "192.0.2.2"
  asn     = 6902
}

neighbor "peer-3" {
  group   = group.ix
  address = "192.0.2.3"
  asn     = 6903
}

neighbor "peer-4" {
  group   = group.ix
  address = "192.0.2.4"
  asn     = 6904
}

neighbor "peer-5" {
  group   = group.ix
  address = "192.0.2.5"
  asn     = 6905
}

neighbor "peer-6" {
  group   = group.ix
  address = "192.0.2.6"
  asn     = 6906
}

neighbor "peer-7" {
  group   = group.ix
  address = "192.0.2.7"
  asn     = 6907
}

neighbor "peer-8" {
  group   = group.ix
  address = "192.0.2.8"
  asn     = 6908
}

neighbor "peer-9" {
  group   = group.ix
  address = "192.0.2.9"
  asn     = 6909
}

neighbor "peer-10" {
  group   = group.ix
  address = "192.0.2.10"
  asn     = 6910
}

neighbor "peer-11" {
  group   = group.ix
  address = "192.0.2.11"
  asn     = 6911
}

neighbor "peer-12" {
  group   = group.ix
  address = "192.0.2.12"
  asn     = 6912
}

neighbor "peer-13" {
  group   = group.ix
  address = "192.0.2.13"
  asn     = 6913
}

# In the group, but with a policy of its own, which is laxer.
neighbor "lax" {
  group   = group.ix
  address = "192.0.2.14"
  asn     = 6914
  import  = policy.everything
}

# Stricter is not odd.
neighbor "strict" {
  group   = group.ix
  address = "192.0.2.15"
  asn     = 6915
  import  = policy.strict
}

# In the group, without filter.
neighbor "none" {
  group   = group.ix
  address = "192.0.2.16"
  asn     = 6916
  import  = []
}

# Not in the group.
neighbor "new" {
  address    = "192.0.2.17"
  asn        = 6917
  local_role = "peer"
  import     = policy.from-peer
  export     = policy.ours
}
