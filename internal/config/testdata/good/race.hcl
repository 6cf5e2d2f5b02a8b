router {
  asn    = 65000
  id     = "10.99.0.1"
  listen = ["10.99.0.1:179"]
  kernel = false
}
policy "all" {
  rule "listed" {
    match { prefix = prefix_set.listed }
    then = "reject"
  }
  rule "path" {
    match { as_path_contains = [64666] }
    then = "reject"
  }
  rule "community" {
    match { community = ["65000:666"] }
    then = "reject"
  }
  rule "rest" { then = "accept" }
}
policy "none" {}
prefix_set "listed" {
  prefixes = [
    "10.1.0.0/24",
    "10.1.2.0/24",
  ]
}
neighbor "s1" {
  address   = "10.99.1.1"
  asn       = 65001
  passive   = true
  hold_time = "180s"
  families  = ["ipv4"]
  import    = policy.all
  export    = policy.none
}
neighbor "m1" {
  address   = "10.99.2.1"
  asn       = 65101
  passive   = true
  hold_time = "180s"
  families  = ["ipv4"]
  import    = policy.all
  export    = policy.all
}
