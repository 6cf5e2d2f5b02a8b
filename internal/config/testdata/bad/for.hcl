router {
  asn = 64500
  id  = "192.0.2.1"
}

prefix_set "s" {
  prefixes = [for p in names : p]
}
originate "s" { prefixes = prefix_set.s }
originate "t" { prefixes = { a = "192.0.2.0/24" } }
originate "u" { prefixes = prefix_set.s.x }
originate "v" { prefixes = prefix_set.*.x }
