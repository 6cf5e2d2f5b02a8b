# The route server of an exchange, AS 64505: each member gets the routes of the
# others as they came, and packets go directly (RFC 7947). Members say with
# communities who gets their routes; one policy serves them all.
#
# All numbers and addresses are those for documentation: put the members' in
# their place.

router {
  asn    = 64505
  id     = "192.0.2.65"
  kernel = false # nothing is forwarded here
}

# What each member may announce; made from the IRR every night.
prefix_set "content" {
  prefixes = ["203.0.113.0/24", "2001:db8:100::/40 le 48"]
}

prefix_set "access" {
  prefixes = ["198.51.100.0/24", "2001:db8:200::/40 le 48"]
}

# A validator, asked by RTR, knows who may announce what. Without it, nothing is
# rejected for that.
rpki "validator" { address = "192.0.2.10" }

policy "from-member" {
  rule "not theirs" {
    match {
      not { prefix = neighbor.prefixes }
    }
    match {
      not { as_path_origin = neighbor.origin_asns }
    }
    match { as_path_length = "50-1000" }
    then = "reject"
  }
  rule "what the RPKI says is wrong" {
    match { rpki = "invalid" }
    match { aspa = "invalid" }
    then = "reject"
  }
  rule "take it" { then = "accept" }
}

# 0:PEER       64505:0:PEER    not to PEER
# 0:64505      64505:0:0       to nobody but
# 64505:PEER   64505:1:PEER    to PEER
#              64505:101:PEER  to PEER, with a path longer by 1; 102 and 103 alike
policy "to-member" {
  rule "not to this one" {
    match { community = ["0:neighbor.asn", "64505:0:neighbor.asn"] }
    then = "reject"
  }
  rule "to others" {
    match {
      community = ["0:64505", "64505:0:0"]
      not { community = ["64505:neighbor.asn", "64505:1:neighbor.asn"] }
    }
    then = "reject"
  }
  rule "longer by 1" {
    match { community = "64505:101:neighbor.asn" }
    set {
      prepend     = 1
      prepend_asn = "first"
    }
    then = "continue"
  }
  rule "longer by 2" {
    match { community = "64505:102:neighbor.asn" }
    set {
      prepend     = 2
      prepend_asn = "first"
    }
    then = "continue"
  }
  rule "longer by 3" {
    match { community = "64505:103:neighbor.asn" }
    set {
      prepend     = 3
      prepend_asn = "first"
    }
    then = "continue"
  }
  rule "send, without what was for us" {
    set { remove_communities = ["0:*", "64505:*", "64505:*:*"] }
    then = "accept"
  }
}

group "members" {
  local_role          = "rs"
  route_server_client = true
  import              = policy.from-member
  export              = policy.to-member
  max_prefixes        = 1000
}

neighbor "content-v4" {
  group       = group.members
  address     = "192.0.2.70"
  asn         = 64500
  prefixes    = prefix_set.content
  origin_asns = 64500
}

neighbor "content-v6" {
  group       = group.members
  address     = "2001:db8:ffff::70"
  asn         = 64500
  prefixes    = prefix_set.content
  origin_asns = 64500
}

neighbor "access-v4" {
  group       = group.members
  address     = "192.0.2.71"
  asn         = 65536
  prefixes    = prefix_set.access
  origin_asns = [65536, 65537]
}

neighbor "access-v6" {
  group       = group.members
  address     = "2001:db8:ffff::71"
  asn         = 65536
  prefixes    = prefix_set.access
  origin_asns = [65536, 65537]
}
