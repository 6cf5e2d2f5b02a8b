router {
  asn = 64500
  id  = "192.0.2.1"
}

router {
  asn = 64501
  id  = "192.0.2.2"
}

prefix_set "s" { prefixes = ["192.0.2.0/24"] }
prefix_set "s" { prefixes = ["198.51.100.0/24"] }

neighbor "a" {
  address = "192.0.2.9"
  asn     = 64500
}

neighbor "a" {
  address = "192.0.2.10"
  asn     = 64500
}

neighbor "b" {
  address = "192.0.2.9"
  asn     = 64500
}

originate "x" { prefixes = prefix_set.s }
originate "y" { prefixes = ["192.0.2.0/24"] }

aggregate "m" { prefix = "192.0.0.0/16" }
aggregate "n" { prefix = "192.0.0.0/16" }

originate "z" {
  prefixes = ["192.0.2.0/24"]
  table    = table.main
}

static "o" {
  prefixes  = prefix_set.s
  blackhole = true
}

static "p" {
  prefixes  = prefix_set.s
  blackhole = true
  table     = table.main
}
