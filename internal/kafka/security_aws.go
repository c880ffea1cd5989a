package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/twmb/franz-go/pkg/sasl/aws"
)

// iam gets the credentials of AWS_MSK_IAM where all of AWS's programs do: environment, shared files, container or
// instance. The library keeps them and gets others before they end.
type iam struct {
	profile, role, session, external, region string

	mu   sync.Mutex
	held awssdk.CredentialsProvider // nil until first used
}

// awsLogin reads the options of IAMLoginModule.
func awsLogin(options map[string]string) (*login, error) {
	i := &iam{
		profile: options["awsProfileName"], role: options["awsRoleArn"], session: options["awsRoleSessionName"],
		external: options["awsRoleExternalId"], region: options["awsStsRegion"],
	}
	for _, option := range []string{"awsRoleAccessKeyId", "awsRoleSecretAccessKey", "awsRoleSessionToken"} {
		if options[option] != "" {
			return nil, fmt.Errorf("read sasl.jaas.config: option %s is not supported; a profile (awsProfileName) or the environment can hold the key", option)
		}
	}
	l := &login{user: "AWS"}
	switch {
	case i.role != "":
		l.user = i.role
	case i.profile != "":
		l.user = "profile " + i.profile
	}
	l.mechanism = aws.ManagedStreamingIAM(i.auth)
	return l, nil
}

func (i *iam) auth(ctx context.Context) (aws.Auth, error) {
	provider, err := i.provider(ctx)
	if err != nil {
		return aws.Auth{}, err
	}
	keys, err := provider.Retrieve(ctx)
	if err != nil {
		return aws.Auth{}, fmt.Errorf("get credentials of AWS: %w", err)
	}
	return aws.Auth{AccessKey: keys.AccessKeyID, SecretKey: keys.SecretAccessKey, SessionToken: keys.SessionToken, UserAgent: softwareName}, nil
}

func (i *iam) provider(ctx context.Context) (awssdk.CredentialsProvider, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.held != nil {
		return i.held, nil
	}
	var opts []func(*awsconfig.LoadOptions) error
	if i.profile != "" {
		opts = append(opts, awsconfig.WithSharedConfigProfile(i.profile))
	}
	conf, err := awsconfig.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("get credentials of AWS: %w", err)
	}
	i.held = conf.Credentials
	if i.role != "" {
		if i.region != "" {
			conf.Region = i.region
		}
		if conf.Region == "" {
			conf.Region = "aws-global" // as in AWS's own login module
		}
		i.held = awssdk.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(conf), i.role, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = i.session
			if i.session == "" {
				o.RoleSessionName = softwareName
			}
			if i.external != "" {
				o.ExternalID = &i.external
			}
		}))
	}
	if i.held == nil {
		return nil, errors.New("get credentials of AWS: there are none")
	}
	return i.held, nil
}
