# Shortcuts; each line can be typed by hand as well.
.PHONY: demo test demo-s3 stop-s3

demo:
	cargo run --locked -- demo ./demo

test:
	bash tests/run.sh

# The examples on an S3 lake: MinIO in a container, the raw files in its bucket, windrow on the host.
demo-s3:
	docker compose up --detach --wait minio
	docker compose run --rm producer
	sh examples/demo-s3.sh

stop-s3:
	docker compose --profile producer down --volumes
