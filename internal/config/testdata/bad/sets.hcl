router {
  asn = 64500
  id  = "192.0.2.1"
}

prefix_set "p" {
  prefixes = [
    "192.0.2.1/24",
    "192.0.2.0/33",
    "192.0.2.0/24 ge 20",
    "192.0.2.0/24 le 28 ge 25",
    192,
  ]
}

prefix_set "f" { prefixes_file = "missing.txt" }
prefix_set "g" { prefixes_file = "prefixes.txt" }
prefix_set "d" { prefixes_file = "." }

as_set "a" { asns = ["AS64500", "64512-64500", "AS-SET", 4294967296] }

community_set "c" { communities = ["64500", "64500:100", "64500:70000", "no-exprot"] }

as_path_set "x" { patterns = ["64500 (", "64500"] }

policy "uses" {
  rule "all" {
    match {
      prefix    = [prefix_set.p, prefix_set.f, prefix_set.g, prefix_set.d]
      community = community_set.c
      as_path   = as_path_set.x
    }
    match { as_path_contains = as_set.a }
    then = "accept"
  }
}

originate "range" { prefixes = ["192.0.2.0/24 le 28", "198.51.100.0/24"] }
originate "slot" {
  prefixes = ["203.0.113.0/24"]
  set { add_communities = "64500:neighbor.asn" }
  policy   = policy.slot
}

policy "slot" {
  rule "slot" {
    match { prefix = neighbor.prefixes }
    then = "accept"
  }
}

neighbor "a" {
  address = "192.0.2.9"
  asn     = 64500
  import  = policy.uses
  export  = policy.slot
}
