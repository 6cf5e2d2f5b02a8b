router {
  asn = 64500
  id  = "192.0.2.1"
}

prefix_set "customers" { prefixes = ["192.0.2.0/24"] }
as_set "unused" { asns = [64501] }
policy "unused" {}
group "empty" {}

policy "to-transit" {
  rule "r" {
    match {
      prefix    = [prefix_set.custmers, prefix_set["AS-FOO:BAR"]]
      neighbor  = neighbor.nobody
      group     = group.transits
      community = prefix_set.customers
    }
    then = "accept"
  }
}

group "transit" { export = policy.to-transt }

neighbor "a" {
  group   = group.transit
  address = "192.0.2.9"
  asn     = 64501
  import  = [policy.to-transit, policy.x]
}

neighbor "b" {
  group   = transit
  address = "192.0.2.10"
  asn     = 64502
}

protect "p" {
  prefixes = prefix_set.nothing
  announced_to { group = group.nowhere }
}
