# Between private AS numbers there is nobody to be careful of.

router {
  asn    = 65000
  id     = "10.0.0.1"
  kernel = false
}

originate "ours" {
  prefixes = ["10.0.0.1/32"]
}

policy "all" {
  rule "rest" { then = "accept" }
}

neighbor "leaf-1" {
  address = "10.1.0.1"
  asn     = 65001
  import  = policy.all
  export  = policy.all
}

neighbor "leaf-2" {
  address = "10.1.0.2"
  asn     = 65002
  import  = policy.all
  export  = policy.all
}

# A customer whose AS number is private, and addresses of a laboratory.
neighbor "outside" {
  address      = "10.1.0.3"
  asn          = 3333
  local_role   = "customer"
  max_prefixes = 100
  import       = policy.laboratory
  export       = policy.all
}

policy "laboratory" {
  rule "ours" {
    match { prefix = "10.0.0.1/32" }
    then = "reject"
  }
  rule "private" {
    match { as_path_contains = as_set.builtin-bogon-asns }
    then = "reject"
  }
  rule "192.168" {
    match { prefix = "192.168.0.0/16 le 32" }
    then = "reject"
  }
  rule "rest" { then = "accept" }
}
