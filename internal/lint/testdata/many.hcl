# What fifty neighbors have in common is said once.

router {
  asn    = 64500
  id     = "192.0.2.1"
  kernel = false
}

policy "from-peer" {
  rule "bogons" {
    match { prefix = [prefix_set.builtin-bad-lengths, prefix_set.builtin-bad-lengths, "0.0.0.0/0", "::/0"] }
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
  import = policy.everything
  export = policy.ours
}

neighbor "ix-0" {
  group   = group.ix
  address = "192.0.2.10"
  asn     = 6900
}

neighbor "ix-1" {
  group   = group.ix
  address = "192.0.2.11"
  asn     = 6901
}

neighbor "ix-2" {
  group   = group.ix
  address = "192.0.2.12"
  asn     = 6902
}

neighbor "ix-3" {
  group   = group.ix
  address = "192.0.2.13"
  asn     = 6903
}

neighbor "ix-4" {
  group   = group.ix
  address = "192.0.2.14"
  asn     = 6904
}

neighbor "ix-5" {
  group   = group.ix
  address = "192.0.2.15"
  asn     = 6905
}

neighbor "ix-6" {
  group   = group.ix
  address = "192.0.2.16"
  asn     = 6906
}

neighbor "ix-7" {
  group   = group.ix
  address = "192.0.2.17"
  asn     = 6907
}

neighbor "ix-8" {
  group   = group.ix
  address = "192.0.2.18"
  asn     = 6908
}

neighbor "ix-9" {
  group   = group.ix
  address = "192.0.2.19"
  asn     = 6909
}

neighbor "ix-10" {
  group   = group.ix
  address = "192.0.2.20"
  asn     = 6910
}

neighbor "ix-11" {
  group   = group.ix
  address = "192.0.2.21"
  asn     = 6911
}

neighbor "ix-12" {
  group   = group.ix
  address = "192.0.2.22"
  asn     = 6912
}

neighbor "ix-13" {
  group   = group.ix
  address = "192.0.2.23"
  asn     = 6913
}

neighbor "ix-14" {
  group   = group.ix
  address = "192.0.2.24"
  asn     = 6914
}

neighbor "ix-15" {
  group   = group.ix
  address = "192.0.2.25"
  asn     = 6915
}

neighbor "ix-16" {
  group   = group.ix
  address = "192.0.2.26"
  asn     = 6916
}

neighbor "ix-17" {
  group   = group.ix
  address = "192.0.2.27"
  asn     = 6917
}

neighbor "ix-18" {
  group   = group.ix
  address = "192.0.2.28"
  asn     = 6918
}

neighbor "ix-19" {
  group   = group.ix
  address = "192.0.2.29"
  asn     = 6919
}

neighbor "ix-20" {
  group   = group.ix
  address = "192.0.2.30"
  asn     = 6920
}

neighbor "ix-21" {
  group   = group.ix
  address = "192.0.2.31"
  asn     = 6921
}

neighbor "ix-22" {
  group   = group.ix
  address = "192.0.2.32"
  asn     = 6922
}

neighbor "ix-23" {
  group   = group.ix
  address = "192.0.2.33"
  asn     = 6923
}

neighbor "ix-24" {
  group   = group.ix
  address = "192.0.2.34"
  asn     = 6924
}

neighbor "single-0" {
  address = "192.0.2.50"
  asn     = 6930
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-1" {
  address = "192.0.2.51"
  asn     = 6931
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-2" {
  address = "192.0.2.52"
  asn     = 6932
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-3" {
  address = "192.0.2.53"
  asn     = 6933
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-4" {
  address = "192.0.2.54"
  asn     = 6934
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-5" {
  address = "192.0.2.55"
  asn     = 6935
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-6" {
  address = "192.0.2.56"
  asn     = 6936
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-7" {
  address = "192.0.2.57"
  asn     = 6937
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-8" {
  address = "192.0.2.58"
  asn     = 6938
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-9" {
  address = "192.0.2.59"
  asn     = 6939
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-10" {
  address = "192.0.2.60"
  asn     = 6940
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-11" {
  address = "192.0.2.61"
  asn     = 6941
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-12" {
  address = "192.0.2.62"
  asn     = 6942
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-13" {
  address = "192.0.2.63"
  asn     = 6943
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-14" {
  address = "192.0.2.64"
  asn     = 6944
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-15" {
  address = "192.0.2.65"
  asn     = 6945
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-16" {
  address = "192.0.2.66"
  asn     = 6946
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-17" {
  address = "192.0.2.67"
  asn     = 6947
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-18" {
  address = "192.0.2.68"
  asn     = 6948
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-19" {
  address = "192.0.2.69"
  asn     = 6949
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-20" {
  address = "192.0.2.70"
  asn     = 6950
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-21" {
  address = "192.0.2.71"
  asn     = 6951
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-22" {
  address = "192.0.2.72"
  asn     = 6952
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-23" {
  address = "192.0.2.73"
  asn     = 6953
  import  = policy.everything
  export  = policy.ours
}

neighbor "single-24" {
  address = "192.0.2.74"
  asn     = 6954
  import  = policy.everything
  export  = policy.ours
}

neighbor "x" {
  address      = "192.0.2.99"
  asn          = 6899
  local_role   = "peer"
  max_prefixes = 10
  import       = [policy.strict, policy.from-peer]
  export       = policy.ours
}
