package stream

// ACL is one binding of a cluster's authorizer, in the numbers of Kafka's protocol.
type ACL struct {
	ResourceType int8 // 2 topic, 3 group, 4 cluster, 5 transactional id, ...
	PatternType  int8 // 3 literal, 4 prefixed
	Resource     string
	Principal    string
	Host         string
	Operation    int8
	Permission   int8 // 2 deny, 3 allow
}
